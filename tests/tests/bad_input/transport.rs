//! Connections that break, stop half-way, or are never read from.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use kybern_tests::cluster::Cluster;
use kybern_tests::http::{Connection, dechunk, read_answer};
use kybern_tests::load::MAPS;
use serde_json::{Value, json};

use crate::well;

/// Reads a watch until an event of an object of this name, or its end: the events' revisions.
fn revisions(mut connection: Connection, until: &str) -> Vec<u64> {
    let mut bytes = Vec::new();
    let mut part = vec![0; 1 << 20];
    while let Ok(count) = connection.read(&mut part) {
        bytes.extend_from_slice(&part[..count]);
        let tail = &bytes[bytes.len().saturating_sub(1000)..];
        if count == 0 || String::from_utf8_lossy(tail).contains(&format!("\"name\":\"{until}\"")) {
            break;
        }
    }
    let split = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    let events = dechunk(&bytes[split..]);
    let lines = events.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    let version = |event: Value| event["object"]["metadata"]["resourceVersion"].as_str().map(|v| v.parse().unwrap());
    lines.filter_map(version).collect()
}

pub fn broken_transport(cluster: &Cluster) {
    let port: u16 = cluster.url().rsplit_once(':').unwrap().1.parse().unwrap();
    let plain = |bytes: &[u8]| {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        socket.write_all(bytes).unwrap();
        let _ = socket.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
    };
    plain(b"GET / HTTP/1.1\r\nHost: k\r\n\r\n");
    plain(&[0x16, 0x03, 0x01, 0xff, 0xff, 0x01]);
    plain(&(0..=255u8).cycle().take(100_000).collect::<Vec<_>>());
    plain(b"");
    let http = cluster.http();
    for bytes in [
        &b"\r\n\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnonsense",
        b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
    ] {
        let mut connection = http.connect().unwrap();
        connection.write_all(bytes).unwrap();
        connection.conn.send_close_notify();
        let _ = connection.flush();
        let _ = connection.read_to_end(&mut Vec::new());
    }
    well(cluster);
}

pub fn half_closed_connections(cluster: &Cluster) {
    let http = cluster.http();
    // The client says that it will send no more, and still gets its answer.
    let mut connection = http.connect().unwrap();
    connection.write_all(format!("GET {MAPS} HTTP/1.1\r\nHost: k\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
    connection.conn.send_close_notify();
    connection.flush().unwrap();
    // It may also be let go; what it must not do is hang.
    if let Ok(answer) = read_answer(&mut connection) {
        assert_eq!(answer.code, 200);
    }
    // The same in the middle of a body, and without a farewell.
    for farewell in [true, false] {
        let mut connection = http.connect().unwrap();
        let head =
            format!("POST {MAPS} HTTP/1.1\r\nHost: k\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{\"metadata\"");
        connection.write_all(head.as_bytes()).unwrap();
        if farewell {
            connection.conn.send_close_notify();
            let _ = connection.flush();
        }
        connection.sock.shutdown(Shutdown::Write).unwrap();
        let _ = connection.read_to_end(&mut Vec::new());
    }
    well(cluster);
}

pub fn unfinished_requests(cluster: &Cluster) {
    let http = cluster.http();
    let head = format!("POST {MAPS} HTTP/1.1\r\nHost: k\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{{");
    let held: Vec<_> = (0..100)
        .map(|number| {
            let mut connection = http.connect().unwrap();
            let part = if number % 2 == 0 { &head[..] } else { &head[..20] };
            connection.write_all(part.as_bytes()).unwrap();
            connection.flush().unwrap();
            connection
        })
        .collect();
    // Others are served meanwhile.
    well(cluster);
    drop(held);
    well(cluster);
}

pub fn slow_readers_of_a_watch(cluster: &Cluster) {
    // More than the sockets between hold; how much of it the server keeps for the slow depends on how long this takes.
    const WRITES: usize = 130;
    let http = cluster.http();
    cluster.kubectl.ok(&["create", "namespace", "slow"]);
    let maps = "/api/v1/namespaces/slow/configmaps";
    let start = http.get(maps).unwrap().json()["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let watch = || {
        let mut connection = http.connect().unwrap();
        let query = format!("watch=1&resourceVersion={start}&labelSelector=suite%3Dslow");
        connection.write_all(format!("GET {maps}?{query} HTTP/1.1\r\nHost: k\r\n\r\n").as_bytes()).unwrap();
        connection.flush().unwrap();
        connection
    };
    let asleep: Vec<_> = (0..10).map(|_| watch()).collect();
    let attentive = watch();
    let awake = std::thread::spawn(move || revisions(attentive, "end"));
    let before = cluster.resident_kib();
    let mut written = Vec::new();
    let mut object = json!({"metadata": {"name": "big", "labels": {"suite": "slow"}}, "data": {"value": ""}});
    for count in 0..WRITES {
        object["data"]["value"] = json!(format!("{count}-{}", "x".repeat(100_000)));
        let body = object.to_string();
        let answer = match count {
            0 => http.post(maps, body.as_bytes()),
            _ => http.send("PUT", &format!("{maps}/big"), "application/json", &[], body.as_bytes()),
        };
        let stored = answer.unwrap().json();
        written.push(stored["metadata"]["resourceVersion"].as_str().expect("a version").parse::<u64>().unwrap());
    }
    // The sleepers cost what one log costs, not each of them 13 MB.
    let grown = cluster.resident_kib().saturating_sub(before);
    assert!(grown < 100 * 1024, "{grown} KiB more");
    let end = json!({"metadata": {"name": "end", "labels": {"suite": "slow"}}}).to_string();
    assert_eq!(http.post(maps, end.as_bytes()).unwrap().code, 201);
    // Somebody awake sees it all; a sleeper sees it all too, or the beginning of it without a gap.
    let seen = awake.join().expect("the reader ends");
    assert_eq!(seen.len(), WRITES + 1);
    assert_eq!(seen[..WRITES], written);
    for sleeper in asleep {
        let seen = revisions(sleeper, "end");
        let events = seen.len().min(WRITES);
        assert_eq!(seen[..events], written[..events]);
    }
    well(cluster);
}
