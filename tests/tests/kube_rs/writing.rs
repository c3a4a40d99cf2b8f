//! The typed API: create, read, replace, patch, apply, delete; and kinds that are only known at run time.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy};
use kube::core::GroupVersionKind;
use kube::discovery::{Discovery, Scope};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use crate::code;

fn of(value: Value) -> ConfigMap {
    serde_json::from_value(value).unwrap()
}

pub async fn write_in_every_way(client: Client) {
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let post = PostParams::default();
    assert!(maps.get_opt("one").await.unwrap().is_none());
    let one = of(json!({"metadata": {"name": "one", "labels": {"set": "a"}}, "data": {"key": "1"}}));
    let made = maps.create(&post, &one).await.unwrap();
    assert!(made.uid().is_some() && made.resource_version().is_some());
    assert_eq!(code(maps.create(&post, &one).await), 409);
    assert_eq!(code(maps.create(&post, &of(json!({"metadata": {"name": "No"}}))).await), 422);

    let mut changed = made.clone();
    changed.data.get_or_insert_default().insert("key".to_owned(), "2".to_owned());
    let replaced = maps.replace("one", &post, &changed).await.unwrap();
    assert_ne!(replaced.resource_version(), made.resource_version());
    assert_eq!(code(maps.replace("one", &post, &changed).await), 409);
    // Read, change and write back, as one.
    let entry = maps.entry("one").await.unwrap();
    let mut entry =
        entry.and_modify(|map| _ = map.data.get_or_insert_default().insert("entry".into(), "3".into())).or_insert(|| of(json!({})));
    entry.commit(&post).await.unwrap();

    let patch = PatchParams::default();
    let merged = maps.patch("one", &patch, &Patch::Merge(json!({"data": {"key": null, "merged": "4"}}))).await.unwrap();
    assert_eq!(json!(merged.data), json!({"entry": "3", "merged": "4"}));
    let labels = json!({"metadata": {"labels": {"strategic": "yes"}}});
    let patched = maps.patch("one", &patch, &Patch::Strategic(labels)).await.unwrap();
    assert_eq!(json!(patched.labels()), json!({"set": "a", "strategic": "yes"}));
    let metadata = maps.get_metadata("one").await.unwrap();
    assert_eq!(metadata.labels(), patched.labels());

    for name in ["two", "three"] {
        maps.create(&post, &of(json!({"metadata": {"name": name, "labels": {"set": "a"}}}))).await.unwrap();
    }
    let selected = ListParams::default().labels("set=a");
    let first = maps.list(&selected.clone().limit(2)).await.unwrap();
    assert_eq!((first.items.len(), first.metadata.remaining_item_count), (2, None));
    let next = first.metadata.continue_.expect("more pages");
    assert_eq!(maps.list(&selected.clone().limit(2).continue_token(&next)).await.unwrap().items.len(), 1);
    assert_eq!(maps.list_metadata(&ListParams::default().fields("metadata.name=two")).await.unwrap().items.len(), 1);

    let stale = DeleteParams::default().preconditions(Preconditions { resource_version: made.resource_version(), uid: None });
    assert_eq!(code(maps.delete("one", &stale).await), 409);
    assert!(maps.delete("one", &DeleteParams::default()).await.unwrap().right().expect("a Status").is_success());
    assert_eq!(code(maps.delete("one", &DeleteParams::default()).await), 404);
    maps.delete_collection(&DeleteParams::default(), &selected).await.unwrap();
    assert!(maps.list(&selected).await.unwrap().items.is_empty());
}

pub async fn apply_and_conflict(client: Client) {
    let deployments: Api<Deployment> = Api::default_namespaced(client);
    let applied = |replicas: u32, image: &str| {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
            "spec": {
                "replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
                "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "main", "image": image}]}},
            },
        })
    };
    let (ours, theirs) = (PatchParams::apply("ours"), PatchParams::apply("theirs"));
    let made = deployments.patch("web", &ours, &Patch::Apply(applied(0, "a"))).await.unwrap();
    assert_eq!((made.metadata.generation, made.managed_fields()[0].manager.as_deref()), (Some(1), Some("ours")));
    let again = deployments.patch("web", &ours, &Patch::Apply(applied(0, "a"))).await.unwrap();
    assert_eq!(again.metadata.generation, Some(1));
    assert_eq!(code(deployments.patch("web", &theirs, &Patch::Apply(applied(0, "b"))).await), 409);
    let forced = deployments.patch("web", &theirs.clone().force(), &Patch::Apply(applied(0, "b"))).await.unwrap();
    assert_eq!(forced.metadata.generation, Some(2));
    let dry = deployments.patch("web", &theirs.force().dry_run(), &Patch::Apply(applied(5, "b"))).await.unwrap();
    assert_eq!(dry.spec.unwrap().replicas, Some(5));
    let scaled = deployments.patch_scale("web", &PatchParams::default(), &Patch::Merge(json!({"spec": {"replicas": 1}}))).await.unwrap();
    assert_eq!(scaled.spec.unwrap().replicas, Some(1));
    assert_eq!(deployments.get("web").await.unwrap().spec.unwrap().replicas, Some(1));
    let restarted = deployments.restart("web").await.unwrap();
    assert!(json!(restarted.spec.unwrap().template.metadata).to_string().contains("restartedAt"));
    let foreground = DeleteParams { propagation_policy: Some(PropagationPolicy::Foreground), ..DeleteParams::default() };
    let leaving = deployments.delete("web", &foreground).await.unwrap().left().expect("the object, still there");
    assert_eq!(leaving.finalizers(), ["foregroundDeletion"]);
    crate::until("the Deployment to go", async || deployments.get_opt("web").await.unwrap().is_none()).await;
}

pub async fn discover_kinds(client: Client) {
    assert_eq!(client.apiserver_version().await.unwrap().major, "1");
    let gvk = GroupVersionKind::gvk("batch", "v1", "CronJob");
    let (listed, aggregated) =
        (Discovery::new(client.clone()).run().await.unwrap(), Discovery::new(client.clone()).run_aggregated().await.unwrap());
    for discovery in [listed, aggregated] {
        assert!(discovery.has_group("apps") && discovery.has_group("policy"));
        let (resource, capabilities) = discovery.resolve_gvk(&gvk).expect("CronJob");
        assert_eq!((resource.plural.as_str(), &capabilities.scope), ("cronjobs", &Scope::Namespaced));
        assert!(capabilities.supports_operation("watch") && capabilities.subresources.iter().any(|(r, _)| r.plural == "status"));
        let api: Api<DynamicObject> = Api::default_namespaced_with(client.clone(), &resource);
        assert!(api.list(&ListParams::default()).await.unwrap().items.is_empty());
    }
}
