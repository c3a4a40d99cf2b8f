//! What cannot be started is told of in words, with an exit code; and what has run out of something goes on later.

use std::net::{TcpListener, TcpStream};

use kybern_tests::PATIENCE;
use kybern_tests::cluster::{Cluster, Shape};
use kybern_tests::load::{MAPS, config_map};
use kybern_tests::process::{Process, program};
use kybern_tests::wait_for;
use tempfile::TempDir;

pub fn impossible() {
    let dir = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!("--secure-port={}", taken.local_addr().unwrap().port());
    // They run side by side, so that each that might open its store has a directory of its own.
    let data = |name: &str| format!("--data-dir={}", dir.path().join(name).display());
    let (port_taken, etcd_away, tokens_absent, range_bad) = (data("port"), data("etcd"), data("tokens"), data("range"));
    let unopened = data("unopened");
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let no_directory = format!("--data-dir={}", file.display());
    let kubeconfig = format!("--kubeconfig={}", dir.path().join("absent").display());
    // Exit code 2 is for flags that do not parse, 1 for the rest.
    let cases: [(&str, &[&str], i32, &str); 9] = [
        ("kybern", &["up", &port_taken, &port], 1, "cannot listen on 127.0.0.1:"),
        ("kybern", &["up", &no_directory, "--secure-port=0"], 1, "file/pki: Not a directory"),
        (
            "kybern",
            &["up", &etcd_away, "--secure-port=0", "--etcd-servers=http://127.0.0.1:1"],
            1,
            "cannot reach etcd at http://127.0.0.1:1",
        ),
        ("kybern", &["up", &tokens_absent, "--secure-port=0", "--token-auth-file=/absent"], 1, "cannot read the token file /absent"),
        ("kybern", &["up", &range_bad, "--secure-port=0", "--service-cluster-ip-range=10.0.0.0/99"], 1, "10.0.0.0/99"),
        ("kybern", &["up", &unopened, "--secure-port=many"], 2, "invalid value 'many'"),
        ("kybern", &["up", &unopened, "--unheard-of"], 2, "unexpected argument '--unheard-of'"),
        ("kybern-scheduler", &[&kubeconfig], 1, "cannot read"),
        ("kybern-kubelet", &[&kubeconfig, "--hostname-override=a"], 1, "cannot read"),
    ];
    let started = cases.iter().enumerate().map(|(number, (name, args, ..))| {
        let log = dir.path().join(format!("{number}.log"));
        Process::start(&program(name), *args, &log)
    });
    // The one that looks for etcd takes its time.
    let started: Vec<_> = started.collect();
    for (mut process, (_, args, code, says)) in started.into_iter().zip(cases) {
        let ended = process.wait(PATIENCE).code();
        let output = process.output();
        assert_eq!(ended, Some(code), "{args:?}: {output}");
        assert!(output.contains(says) && !output.contains("panicked"), "{args:?}: {output}");
    }
}

pub fn out_of_descriptors() {
    let limited = ["sh", "-c", "ulimit -n 150; exec \"$@\"", "limited"];
    let cluster = Cluster::start_under(&limited, Shape::Embedded, 1, &[]);
    let http = cluster.http();
    let port: u16 = cluster.url().rsplit_once(':').unwrap().1.parse().unwrap();
    // They say nothing; the system queues those that the server cannot take.
    let silent: Vec<_> = (0..300).map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap()).collect();
    wait_for("the server to run out", || {
        let output = cluster.output();
        if output.contains("cannot accept a connection") { Ok(()) } else { Err(output) }
    });
    drop(silent);
    wait_for("writes to go on", || match http.post(MAPS, &config_map("after-all", "after-all")) {
        Ok(answer) if answer.code == 201 => Ok(()),
        other => Err(format!("{other:?}")),
    });
    // It did not fill the disk with complaints meanwhile.
    assert!(cluster.output().len() < 100_000, "{} bytes of log", cluster.output().len());
}
