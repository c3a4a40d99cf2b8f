//! DefaultTolerationSeconds: pods stay for five minutes on a node that is not ready or not reachable, unless they say
//! otherwise.

use api::Object;
use api::object::downcast_mut;
use k8s_openapi::api::core::v1::{Pod, Toleration};
use machinery::Status;

use super::{Operation, Plugin, Request};

const TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
const SECONDS: i64 = 300;
const NO_EXECUTE: &str = "NoExecute";

pub(super) struct DefaultTolerationSeconds;

impl Plugin for DefaultTolerationSeconds {
    fn name(&self) -> &'static str {
        "DefaultTolerationSeconds"
    }

    fn mutate(&self, request: &Request<'_>, object: &mut dyn Object) -> Result<(), Status> {
        if request.operation == Operation::Delete || !request.is("", "pods", None) {
            return Ok(());
        }
        let Some(spec) = downcast_mut::<Pod>(object).and_then(|pod| pod.spec.as_mut()) else { return Ok(()) };
        for taint in TAINTS {
            let tolerations = spec.tolerations.get_or_insert_default();
            if !tolerations.iter().any(|toleration| tolerates(toleration, taint)) {
                tolerations.push(Toleration {
                    key: Some(taint.into()),
                    operator: Some("Exists".into()),
                    effect: Some(NO_EXECUTE.into()),
                    toleration_seconds: Some(SECONDS),
                    value: None,
                });
            }
        }
        Ok(())
    }
}

fn tolerates(toleration: &Toleration, taint: &str) -> bool {
    let given = |field: &Option<String>, wanted: &str| field.as_deref().is_none_or(|text| text.is_empty() || text == wanted);
    given(&toleration.key, taint) && given(&toleration.effect, NO_EXECUTE)
}
