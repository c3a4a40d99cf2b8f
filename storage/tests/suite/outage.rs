//! What an etcd that goes away and comes back does to callers and watches.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use storage::etcd::Options;
use storage::{Error, Event, Expect, Outcome, Revision, Store, Watch};

use crate::etcd_server::Server;

const PATIENCE: Duration = Duration::from_secs(60);

async fn create(store: &impl Store, key: String) -> Result<Revision, Error> {
    match store.put(key.into(), Bytes::from_static(b"v"), Expect::Absent, None).await? {
        Outcome::Done(revision) => Ok(revision),
        Outcome::Conflict(found) => Ok(found.unwrap().modified),
    }
}

async fn change(watch: &mut Watch) -> Revision {
    loop {
        match tokio::time::timeout(PATIENCE, watch.next()).await.expect("the watch says nothing").expect("the watch ended").unwrap() {
            Event::Progress(_) => {}
            event => return event.revision(),
        }
    }
}

/// Writes until it succeeds.
async fn create_at_last(store: &impl Store, key: &str) -> Revision {
    let begun = Instant::now();
    loop {
        match create(store, key.into()).await {
            Ok(revision) => return revision,
            Err(Error::Unavailable(why)) => assert!(begun.elapsed() < PATIENCE, "still unavailable: {why}"),
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_fail_in_time_and_watches_go_on() {
    let mut server = Server::start().await;
    let timeout = Duration::from_secs(1);
    let store = server.connect_with(Options { timeout, ..Options::new([server.address()]) }).await;
    let mut last = create(&store, "/0".into()).await.unwrap();
    let mut watch = store.watch(Bytes::from_static(b"/"), last).await.unwrap();
    for round in 1..=2 {
        server.kill();
        let begun = Instant::now();
        assert!(matches!(store.revision().await, Err(Error::Unavailable(_))));
        assert!(matches!(store.get(b"/0").await, Err(Error::Unavailable(_))));
        assert!(matches!(create(&store, format!("/{round}/lost")).await, Err(Error::Unavailable(_))));
        assert!(matches!(store.watch(Bytes::new(), last).await, Err(Error::Unavailable(_))));
        assert!(begun.elapsed() < 4 * timeout + Duration::from_secs(2), "calls hang: {:?}", begun.elapsed());
        server.run();
        for key in ["a", "b"] {
            create_at_last(&store, &format!("/{round}/{key}")).await;
        }
        let current = store.revision().await.unwrap();
        while last < current {
            let revision = change(&mut watch).await;
            assert_eq!(revision.0, last.0 + 1, "a gap or a repetition");
            last = revision;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compaction_during_an_outage_ends_watches() {
    let mut server = Server::start().await;
    let store = server.connect().await;
    let first = create(&store, "/0".into()).await.unwrap();
    let mut watch = store.watch(Bytes::from_static(b"/"), first).await.unwrap();
    // Another client writes and compacts while this one sees nothing of it: its watch is not polled in between, so
    // that it must resume from a revision that is gone.
    let follower = store;
    server.kill();
    assert!(matches!(follower.revision().await, Err(Error::Unavailable(_))));
    server.run();
    let other = server.connect().await;
    for n in 0..20 {
        create_at_last(&other, &format!("/n{n}")).await;
    }
    let current = other.revision().await.unwrap();
    other.compact(current).await.unwrap();
    // Either it was quick enough to see everything, or it is told to list again; never a gap.
    let mut last = first;
    while last < current {
        match tokio::time::timeout(PATIENCE, watch.next()).await.unwrap().unwrap() {
            Ok(Event::Progress(_)) => {}
            Ok(event) => {
                assert_eq!(event.revision().0, last.0 + 1);
                last = event.revision();
            }
            Err(Error::Compacted { .. }) => break,
            Err(error) => panic!("{error}"),
        }
    }
    let mut again = follower.watch(Bytes::from_static(b"/"), current).await.unwrap();
    let next = create(&other, "/again".into()).await.unwrap();
    assert_eq!(change(&mut again).await, next);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_member_is_passed_over() {
    let server = Server::start().await;
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let store = server.connect_with(Options::new([dead.to_string(), server.address()])).await;
    for n in 0..20 {
        create(&store, format!("/{n}")).await.unwrap();
        assert!(store.get(format!("/{n}").as_bytes()).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn nobody_there_is_unavailable_in_time() {
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let begun = Instant::now();
    let refused = storage::etcd::Etcd::connect(Options { timeout: Duration::from_secs(1), ..Options::new([dead.to_string()]) }).await;
    assert!(matches!(refused.err(), Some(Error::Unavailable(_))));
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_shown_and_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, content: String| {
        let path = directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_file = file("ca.crt", authority.self_signed(&authority_key).unwrap().pem());
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let issue = |name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec!["127.0.0.1".into()]).unwrap().signed_by(&key, &issuer).unwrap();
        (file(&format!("{name}.crt"), certificate.pem()), file(&format!("{name}.key"), key.serialize_pem()))
    };
    let (server_cert, server_key) = issue("server");
    let (client_cert, client_key) = issue("client");
    let flags = [("--cert-file", &server_cert), ("--key-file", &server_key), ("--trusted-ca-file", &ca_file)];
    let mut arguments: Vec<String> = flags.iter().map(|(flag, path)| format!("{flag}={}", path.display())).collect();
    arguments.push("--client-cert-auth".into());
    let server = Server::start_with("https", &arguments).await;
    let options =
        Options { ca_file: Some(ca_file), timeout: Duration::from_secs(2), ..Options::new([format!("https://{}", server.address())]) };
    let known = Options { cert_file: Some(client_cert.clone()), key_file: Some(client_key), ..options.clone() };
    let store = server.connect_with(known).await;
    let mut watch = store.watch(Bytes::new(), Revision(1)).await.unwrap();
    let created = create(&store, "/a".into()).await.unwrap();
    assert_eq!(change(&mut watch).await, created);
    let unknown = storage::etcd::Etcd::connect(options.clone()).await.err();
    assert!(matches!(unknown, Some(Error::Unavailable(_))), "{unknown:?}");
    let half = storage::etcd::Etcd::connect(Options { cert_file: Some(client_cert), ..options }).await.err();
    assert!(half.unwrap().to_string().contains("needs its key"));
}
