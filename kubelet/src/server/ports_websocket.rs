//! Connections to a pod's ports over a WebSocket alone, as clients other than kubectl forward them: the ports are named
//! in the query, and each has two channels, for its bytes and for what went wrong. Each begins with the port's number.

use std::sync::Arc;

use axum::extract::ws::{Message, WebSocket};
use futures::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, duplex, split};
use tokio::sync::mpsc;

use super::websocket::message;
use crate::access::Access;
use crate::pod::Pod;

pub const PROTOCOL: &str = "v4.channel.k8s.io";

/// What of a connection is on its way in either direction.
const BUFFER: usize = 16 << 10;
/// Messages that wait to be sent.
const WAITING: usize = 16;
/// Channels are numbered by a byte, and each port has two.
const MOST_PORTS: usize = 127;

/// The ports that a query names; None where it names none, or what is none.
pub fn ports(pairs: impl Iterator<Item = (String, String)>) -> Option<Vec<u16>> {
    let lists: Vec<String> = pairs.filter(|(name, _)| name == "port").map(|(_, list)| list).collect();
    let parse = |text: &str| text.trim().parse().ok().filter(|port: &u16| *port != 0);
    let ports: Vec<u16> = lists.iter().flat_map(|list| list.split(',')).map(parse).collect::<Option<_>>()?;
    (1..=MOST_PORTS).contains(&ports.len()).then_some(ports)
}

/// Carries a connection to each of the ports until the client is gone, or all of them have ended.
pub async fn carry(socket: WebSocket, ports: Vec<u16>, pod: Arc<Pod>, access: Arc<dyn Access>) {
    let (mut sink, mut source) = socket.split();
    let (send, mut messages) = mpsc::channel::<Message>(WAITING);
    let mut inputs: Vec<WriteHalf<_>> = Vec::with_capacity(ports.len());
    let mut connections = Vec::with_capacity(ports.len());
    for (number, port) in (0u8..).zip(ports) {
        let (ours, theirs) = duplex(BUFFER);
        let (output, input) = split(ours);
        inputs.push(input);
        let (pod, access, send) = (pod.clone(), access.clone(), send.clone());
        connections.push(async move {
            let (data, error) = (number * 2, number * 2 + 1);
            for channel in [data, error] {
                let _ = send.send(message(channel, &port.to_le_bytes())).await;
            }
            let (ended, ()) = tokio::join!(access.forward(&pod, port, theirs), pump(data, output, &send));
            if let Err(failure) = ended {
                let what = format!("error forwarding port {port} to pod {}, uid {}: {failure}", pod.name(), pod.uid);
                let _ = send.send(message(error, what.as_bytes())).await;
            }
        });
    }
    // Messages end with the last connection.
    drop(send);
    let outgoing = async {
        let sending = async {
            while let Some(message) = messages.recv().await {
                if sink.send(message).await.is_err() {
                    break;
                }
            }
            let _ = sink.close().await;
        };
        tokio::join!(sending, futures::future::join_all(connections));
    };
    let incoming = async {
        while let Some(Ok(message)) = source.next().await {
            let Message::Binary(data) = message else { continue };
            let Some((channel, data)) = data.split_first() else { continue };
            // The channels for errors are one-way.
            if channel % 2 == 0
                && let Some(input) = inputs.get_mut(usize::from(channel / 2))
            {
                // A connection that has ended takes nothing more; the others do.
                let _ = input.write_all(data).await;
            }
        }
    };
    tokio::select! {
        () = incoming => {}
        () = outgoing => {}
    }
}

/// Sends what comes from a port.
async fn pump(channel: u8, mut output: ReadHalf<tokio::io::DuplexStream>, send: &mpsc::Sender<Message>) {
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = output.read(&mut buffer).await.unwrap_or(0);
        if count == 0 || send.send(message(channel, &buffer[..count])).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_named_once_or_often() {
        let ports = |lists: &[&str]| ports(lists.iter().map(|list| ("port".to_owned(), (*list).to_owned())));
        assert_eq!(ports(&["80,443"]), Some(vec![80, 443]));
        assert_eq!(ports(&["80", "443"]), Some(vec![80, 443]));
        assert_eq!((ports(&[]), ports(&["0"]), ports(&["80,x"])), (None, None, None));
        assert_eq!(ports(&[&["1"; 128].join(",")]), None);
    }
}
