//! Looking into pods: logs, exec, attach, port-forward and proxy, over whatever protocol kubectl speaks.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use kybern_tests::cluster::Cluster;
use kybern_tests::kubectl::Kubectl;
use kybern_tests::wait_for;

/// A pod that runs, and writes.
const TALKER: &str = "
apiVersion: v1
kind: Pod
metadata: {name: talker, labels: {app: talker}}
spec:
  initContainers:
    - {name: prepare, image: 'registry.example/tools:1', command: [sh, -c, 'echo prepared']}
  containers:
    - {name: main, image: 'registry.example/tools:1', command: [sh, -c, 'echo one; echo two; echo \"oh no\" >&2; sleep infinity']}
    - {name: side, image: 'registry.example/tools:1', command: [sh, -c, 'while true; do echo tick; sleep 1; done']}
";

fn talker(kubectl: &Kubectl) {
    kubectl.feed(&["apply"], TALKER);
    kubectl.ok(&["wait", "--for=condition=Ready", "pod/talker", "--timeout=60s"]);
}

pub fn logs(cluster: &Cluster) {
    let kubectl = cluster.kubectl.in_namespace("logs");
    talker(&kubectl);
    assert_eq!(kubectl.ok(&["logs", "talker", "-c", "main"]), "one\ntwo\noh no\n");
    assert_eq!(kubectl.ok(&["logs", "talker", "-c", "prepare"]), "prepared\n");
    assert_eq!(kubectl.ok(&["logs", "talker", "-c", "main", "--tail=1"]), "oh no\n");
    assert_eq!(kubectl.ok(&["logs", "talker", "-c", "main", "--limit-bytes=5"]), "one\nt");
    assert_eq!(kubectl.ok(&["logs", "-l", "app=talker", "-c", "main", "--tail=2"]), "two\noh no\n");
    let timed = kubectl.ok(&["logs", "talker", "-c", "main", "--timestamps", "--tail=1"]);
    assert!(timed.starts_with("20") && timed.contains("Z oh no"), "{timed}");
    assert!(kubectl.fails(&["logs", "talker", "-c", "ghost"]).contains("ghost"));
    assert!(kubectl.fails(&["logs", "ghost"]).contains("NotFound"));
    assert!(kubectl.fails(&["logs", "talker", "-c", "main", "--previous"]).contains("previous"));
    if kubectl.minor() < 24 {
        assert!(kubectl.fails(&["logs", "talker"]).contains("a container"));
    }
}

pub fn logs_follow(cluster: &Cluster) {
    let kubectl = cluster.kubectl.in_namespace("logs-follow");
    talker(&kubectl);
    let log = cluster.dir().join("follow.log");
    let mut following = kubectl.start(&["logs", "-f", "talker", "-c", "side", "--tail=0"], &log);
    wait_for("two ticks", || {
        let seen = following.output();
        if seen.matches("tick\n").count() >= 2 { Ok(()) } else { Err(seen) }
    });
    kubectl.ok(&["delete", "pod", "talker", "--grace-period=1"]);
    // The log ends with the container.
    assert!(following.wait(std::time::Duration::from_secs(30)).success());
}

pub fn logs_of_former_lives(cluster: &Cluster) {
    let kubectl = cluster.kubectl.in_namespace("logs-previous");
    let script = "echo begun; sleep 1; echo failing; exit 1";
    kubectl.ok(&["run", "again", "--image=registry.example/tools:1", "--restart=Always", "--command", "--", "sh", "-c", script]);
    kubectl
        .wait_until("a restart", &["get", "pod", "again", "-o", "jsonpath={.status.containerStatuses[0].restartCount}"], |out| out == "1");
    kubectl.wait_until("the log of the first life", &["logs", "again", "--previous"], |out| out == "begun\nfailing\n");
    // What a pod that has ended has written stays.
    kubectl.ok(&["run", "once", "--image=registry.example/tools:1", "--restart=Never", "--command", "--", "sh", "-c", "echo done; exit 3"]);
    kubectl.wait_value("pod/once", ".status.phase", "Failed");
    assert_eq!(kubectl.ok(&["logs", "once"]), "done\n");
    kubectl.ok(&["run", "written", "--image=registry.example/web:1", "--annotations=simulated.kybern.dev/output=ready"]);
    kubectl.ok(&["wait", "--for=condition=Ready", "pod/written", "--timeout=60s"]);
    assert_eq!(kubectl.ok(&["logs", "written"]), "ready\n");
}

pub fn exec(cluster: &Cluster) {
    let kubectl = cluster.kubectl.in_namespace("exec");
    talker(&kubectl);
    let exec = |more: &[&str]| kubectl.run(&[&["exec", "talker", "-c", "main"], more].concat());
    let said = exec(&["--", "echo", "hello", "world"]);
    assert_eq!((said.status.code(), &*said.stdout), (Some(0), &b"hello world\n"[..]));
    let failed = exec(&["--", "sh", "-c", "echo out; echo err >&2; exit 7"]);
    let errors = String::from_utf8_lossy(&failed.stderr);
    assert_eq!((failed.status.code(), &*failed.stdout), (Some(7), &b"out\n"[..]), "{errors}");
    assert!(errors.starts_with("err\n"), "{errors}");
    let missing = exec(&["--", "nginx", "-v"]);
    assert_eq!(missing.status.code(), Some(127));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("executable file not found"));
    // Far more than all buffers on the way hold.
    let input: Vec<u8> = (0..3_000_000u32).map(|number| (number % 251) as u8).collect();
    let copied = kubectl.with_input(&["exec", "-i", "talker", "-c", "main", "--", "cat"], &input);
    assert!(copied.status.success() && copied.stdout == input, "{} bytes came back", copied.stdout.len());
    let shell = kubectl.with_input(&["exec", "-i", "talker", "-c", "main", "--", "sh"], b"hostname\nexit 4\n");
    assert_eq!((shell.status.code(), &*shell.stdout), (Some(4), &b"talker\n"[..]));
    assert!(kubectl.fails(&["exec", "talker", "-c", "ghost", "--", "true"]).contains("ghost"));
    assert!(kubectl.fails(&["exec", "talker", "-c", "prepare", "--", "true"]).contains("container not found"));
}

pub fn attach(cluster: &Cluster) {
    let kubectl = cluster.kubectl.in_namespace("attach");
    talker(&kubectl);
    let log = cluster.dir().join("attach.log");
    let mut attached = kubectl.start(&["attach", "talker", "-c", "side"], &log);
    wait_for("a tick", || {
        let seen = attached.output();
        if seen.contains("tick\n") { Ok(()) } else { Err(seen) }
    });
    kubectl.ok(&["delete", "pod", "talker", "--grace-period=1"]);
    assert!(attached.wait(std::time::Duration::from_secs(30)).success());
    let ran =
        kubectl.ok(&["run", "brief", "-i", "--rm", "--restart=Never", "--image=registry.example/tools:1", "--", "echo", "from within"]);
    assert!(ran.contains("from within"), "{ran}");
}

pub fn port_forward_and_proxy(cluster: &Cluster) {
    let kubectl = cluster.kubectl.in_namespace("forward");
    talker(&kubectl);
    let log = cluster.dir().join("forward.log");
    let forwarding = kubectl.start(&["port-forward", "pod/talker", ":8080"], &log);
    let port: u16 = wait_for("the local port", || {
        let seen = forwarding.output();
        let port = seen.split("127.0.0.1:").nth(1).and_then(|rest| rest.split_whitespace().next()).and_then(|port| port.parse().ok());
        port.ok_or(seen)
    });
    // Nothing listens in a simulated pod: the connection ends, and kubectl is told why.
    let mut connection = TcpStream::connect(("127.0.0.1", port)).unwrap();
    connection.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = connection.read_to_end(&mut answer);
    assert!(answer.is_empty());
    wait_for("the reason", || {
        let seen = forwarding.output();
        if seen.contains("connection refused") { Ok(()) } else { Err(seen) }
    });
    let proxied = kubectl.fails(&["get", "--raw", "/api/v1/namespaces/forward/pods/talker:8080/proxy/"]);
    assert!(proxied.contains("connection refused"), "{proxied}");
    let node = kubectl.value("pod/talker", ".spec.nodeName");
    assert_eq!(kubectl.ok(&["get", "--raw", &format!("/api/v1/nodes/{node}/proxy/healthz")]).trim(), "ok");
    assert!(kubectl.ok(&["get", "--raw", &format!("/api/v1/nodes/{node}/proxy/pods")]).contains("\"talker\""));
}
