//! Signals: one asks for an end in order, a second one for an end.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use kybern_tests::cluster::{Cluster, Shape};
use kybern_tests::http::{Connection, read_answer};
use kybern_tests::load::{Load, MAPS, assert_kept, config_map};
use kybern_tests::wait_for;

/// Sooner than anything is given up on: nothing may have to be waited for.
const AT_ONCE: Duration = Duration::from_secs(5);

/// A request that the server has begun to read, and the rest of it.
fn half_a_request(cluster: &Cluster, name: &str) -> (Connection, Vec<u8>) {
    let body = config_map(name, name);
    let mut connection = cluster.http().connect().unwrap();
    let head = format!(
        "POST {MAPS} HTTP/1.1\r\nHost: k\r\nContent-Type: application/json\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes()).unwrap();
    connection.flush().unwrap();
    // The server asks for the body once it has come to read it.
    let mut answer = [0; 25];
    connection.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n");
    (connection, body)
}

fn ends_in_order(shape: Shape) {
    let mut cluster = Cluster::start_with(shape, 1, &[]);
    let http = cluster.http();
    let log = cluster.dir().join("watch.log");
    let mut watch = cluster.kubectl.start(&["get", "configmaps", "-w", "-o", "name"], &log);
    wait_for("the watch to stand", || if watch.output().is_empty() { Err(String::new()) } else { Ok(()) });
    let mut bare = http.connect().unwrap();
    bare.write_all(format!("GET {MAPS}?watch=1 HTTP/1.1\r\nHost: k\r\n\r\n").as_bytes()).unwrap();
    let load = Load::start(&http, "busy");
    load.wait_for_more(50);
    let (mut open, body) = half_a_request(&cluster, "begun-before");

    let begun = Instant::now();
    let codes = std::thread::scope(|scope| {
        let codes = scope.spawn(|| cluster.stop());
        // New connections are refused, and the request that was begun is finished.
        wait_for("the port to close", || if http.connect().is_err() { Ok(()) } else { Err("open".to_owned()) });
        open.write_all(&body).unwrap();
        let answer = read_answer(&mut open).unwrap();
        assert_eq!(answer.code, 201, "{}", answer.text());
        codes.join().unwrap()
    });
    assert!(codes.iter().all(|code| *code == Some(0)), "{codes:?}");
    assert!(begun.elapsed() < AT_ONCE * u32::try_from(codes.len()).unwrap(), "{:?}", begun.elapsed());
    // The watch came to its last chunk; kubectl takes that for a good end.
    let mut events = Vec::new();
    bare.read_to_end(&mut events).unwrap();
    assert!(events.ends_with(b"\r\n0\r\n\r\n"), "{}", String::from_utf8_lossy(&events[events.len().saturating_sub(300)..]));
    assert!(watch.wait(kybern_tests::PATIENCE).success(), "{}", watch.output());

    let mut seen = load.end();
    seen.acknowledged.insert("begun-before".to_owned());
    cluster.restart();
    assert_kept(&http, &seen);
}

pub fn one_process() {
    ends_in_order(Shape::Embedded);
}

pub fn every_service() {
    ends_in_order(Shape::Processes);
}

pub fn second_signal() {
    let mut cluster = Cluster::start_with(Shape::Embedded, 0, &[]);
    let http = cluster.http();
    // A request that never ends would be waited for.
    let (_open, _) = half_a_request(&cluster, "never-sent");
    let begun = Instant::now();
    cluster.signal("TERM");
    wait_for("the port to close", || if http.connect().is_err() { Ok(()) } else { Err("open".to_owned()) });
    assert_eq!(cluster.stop(), [Some(130)]);
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    cluster.restart();
}
