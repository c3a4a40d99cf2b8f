//! The data directory: held by another process, damaged, or on a full disk.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::process::Command;

use kybern_tests::cluster::{Cluster, Shape};
use kybern_tests::load::{Load, MAPS, config_map};
use kybern_tests::wait_for;
use serde_json::json;

pub fn second_process() {
    let cluster = Cluster::start_with(Shape::Embedded, 0, &[]);
    let (code, output) = cluster.try_another();
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("in use by another process"), "{output}");
    assert_eq!(cluster.http().post(MAPS, &config_map("unharmed", "unharmed")).unwrap().code, 201);
}

pub fn corrupt() {
    let mut cluster = Cluster::start_with(Shape::Embedded, 0, &[]);
    let load = Load::start(&cluster.http(), "filler");
    load.wait_for_more(50);
    load.end();
    assert_eq!(cluster.stop(), [Some(0)]);
    let files = std::fs::read_dir(cluster.store()).unwrap().map(|f| f.unwrap().path());
    let largest = files.max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let middle = largest.metadata().unwrap().len() / 2;
    OpenOptions::new().write(true).open(&largest).unwrap().write_all_at(&[0xA5; 64], middle).unwrap();
    let (code, output) = cluster.try_another();
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("corrupt"), "{output}");
}

pub fn full_disk() {
    // A limit on the size of files acts as a disk without room does, and needs no privileges.
    let limited = ["sh", "-c", "trap '' XFSZ; ulimit -S -f 2048; exec \"$@\"", "limited"];
    let mut cluster = Cluster::start_under(&limited, Shape::Embedded, 0, &[]);
    let http = cluster.http();
    let load = Load::start(&http, "small");
    load.wait_for_more(50);
    let seen = load.end();
    let big = json!({"metadata": {"generateName": "big-"}, "data": {"value": "x".repeat(200_000)}}).to_string();
    let refused = wait_for("the disk to be full", || match http.post(MAPS, big.as_bytes()).unwrap() {
        answer if answer.code == 201 => Err("there is room".to_owned()),
        answer => Ok(answer),
    });
    assert_eq!((refused.code, refused.reason().as_str()), (500, ""), "{}", refused.text());
    assert!(refused.json()["message"].as_str().unwrap().contains("no room"), "{}", refused.text());
    // Reads go on.
    assert_eq!(http.get(&format!("{MAPS}/kube-root-ca.crt")).unwrap().code, 200);

    let pid = cluster.pid().to_string();
    assert!(Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited:"]).status().unwrap().success());
    wait_for("writes to go on", || match http.post(MAPS, &config_map("after-all", "after-all")).unwrap() {
        answer if answer.code == 201 => Ok(()),
        answer => Err(answer.text()),
    });
    cluster.crash();
    cluster.restart();
    assert_eq!(http.get(&format!("{MAPS}/after-all")).unwrap().code, 200);
    for name in &seen.acknowledged {
        assert_eq!(http.get(&format!("{MAPS}/{name}")).unwrap().code, 200, "{name}");
    }
}
