//! Deletes bootstrap tokens that have expired.

use jiff::Timestamp;

use crate::controller::{Controller, Key, Wake};
use crate::plan::{Plan, Write};
use crate::world::{Change, Kind, Row, World};

const NAMESPACE: &str = "kube-system";

pub struct TokenCleaner;

impl Controller for TokenCleaner {
    fn name(&self) -> &'static str {
        "token-cleaner-controller"
    }

    fn account(&self) -> Option<&'static str> {
        Some("token-cleaner")
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::Secret]
    }

    fn wakes(&self, _world: &World, change: &Change<'_>, wake: &mut Wake) {
        if let Change::Secret(delta) = change
            && delta.after().is_some_and(|secret| secret.expires.is_some())
        {
            wake.key(&delta.newest().header().key);
        }
    }

    fn reconcile(&self, world: &World, key: &Key, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Some(secret) = world.secrets.get(key).filter(|_| *key.namespace == *NAMESPACE) else { return plan };
        match secret.expires {
            Some(at) if at <= now && !secret.header().is_terminating() => plan.write(Write::delete(&**secret)),
            Some(at) if at > now => plan.look_again_in(at.as_second() - now.as_second()),
            _ => {}
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use serde_json::{Value, json};

    use super::*;
    use crate::laws::{Scenario, check};
    use crate::simulator::Simulator;

    #[test]
    fn a_token_goes_when_its_time_is_over() {
        let secret = |namespace: &str, name: &str, expiration: &str| -> Value {
            use base64::Engine;
            let expiration = base64::engine::general_purpose::STANDARD.encode(expiration);
            json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": namespace, "name": name},
                "type": "bootstrap.kubernetes.io/token", "data": {"expiration": expiration},
            })
        };
        let create = |server: &mut Simulator| {
            let soon = (server.now + SignedDuration::from_mins(10)).to_string();
            server.create(secret(NAMESPACE, "soon", &soon));
            server.create(secret(NAMESPACE, "unreadable", "tomorrow"));
            server.create(secret(NAMESPACE, "forever", ""));
            server.create(secret("default", "elsewhere", "tomorrow"));
        };
        let server = check(&Scenario { controllers: &[&TokenCleaner], phases: &[&create], ..Scenario::default() });
        let left: Vec<&str> = server.all("secrets").filter_map(|secret| secret["metadata"]["name"].as_str()).collect();
        assert_eq!(left, ["elsewhere", "forever"]);
    }
}
