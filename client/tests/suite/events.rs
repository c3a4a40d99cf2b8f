//! Events: written once, counted when they repeat, and held back when there are too many.

use std::sync::Arc;

use client::memory::Memory;
use client::{Api, EventRecorder, EventType, NewEvent, Selection};
use k8s_openapi::api::core::v1::{Event, ObjectReference};
use tokio_util::sync::CancellationToken;

fn event(message: &str) -> NewEvent {
    let regarding = ObjectReference {
        kind: Some("Pod".to_owned()),
        namespace: Some("shop".to_owned()),
        name: Some("web".to_owned()),
        uid: Some("u1".to_owned()),
        ..ObjectReference::default()
    };
    NewEvent { regarding, event_type: EventType::Warning, reason: "BackOff", action: "", message: message.to_owned() }
}

#[tokio::test(start_paused = true)]
async fn repeated_events_are_counted_and_floods_held_back() {
    let memory = Memory::default();
    let (recorder, writer) = EventRecorder::new(Arc::new(memory.clone()), "kubelet", "node-1");
    for _ in 0..3 {
        recorder.record(event("again"));
    }
    for other in 0..40 {
        recorder.record(event(&format!("other {other}")));
    }
    drop(recorder);
    writer.run(CancellationToken::new()).await;

    let events = Api::<Event>::new(Arc::new(memory.clone()), "test");
    let (_, events) = events.list(&Selection::namespace("shop")).await.unwrap();
    let again: Vec<_> = events.iter().filter(|event| event.message.as_deref() == Some("again")).collect();
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].count, Some(3));
    assert_eq!(events.len(), 23, "25 events about one object may come at once, and 3 were one");
    assert_eq!(again[0].source.as_ref().unwrap().host.as_deref(), Some("node-1"));
}
