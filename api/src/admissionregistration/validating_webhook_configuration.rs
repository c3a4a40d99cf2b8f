//! ValidatingWebhookConfiguration: webhooks that may refuse writes.

use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::{ValidatingWebhook, ValidatingWebhookConfiguration};
use machinery::field::{Errors, Path};
use machinery::objectmeta::Repeated;
use serde_json::{Value, json};

use super::webhooks::{self, Hook, HookMut};
use crate::apps::bump_generation;
use crate::kind::{Column, Kind, Mark, Names, Scope};
use crate::strategy::{Context, UpdateStrategy};
use crate::{columns, zero};

pub struct ValidatingWebhookConfigurations;

impl Kind for ValidatingWebhookConfigurations {
    type Object = ValidatingWebhookConfiguration;

    const NAMES: Names =
        super::names("ValidatingWebhookConfiguration", "validatingwebhookconfigurations", "validatingwebhookconfiguration");
    const SCOPE: Scope = Scope::Cluster;
    const STORED_UNDER: &'static str = "validatingwebhookconfigurations";
    const MARK: Option<Mark> = Some(webhooks::mark);
    const FINALIZER_DOMAINS: bool = false;
    const UNCONDITIONAL_UPDATE: bool = false;
    const COLUMNS: &'static [Column] = &[Column::NAME, Column::integer("Webhooks", "How many webhooks there are."), Column::AGE];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        machinery::names::dns1123_subdomain(name, prefix)
    }

    fn default(configuration: &mut ValidatingWebhookConfiguration) {
        zero::omit(&mut configuration.webhooks);
        for hook in configuration.webhooks.iter_mut().flatten() {
            default(hook);
        }
    }

    fn prepare_create(_cx: &Context<'_>, configuration: &mut ValidatingWebhookConfiguration) {
        configuration.metadata.generation = Some(1);
    }

    fn validate_create(_cx: &Context<'_>, configuration: &ValidatingWebhookConfiguration) -> Errors {
        check(configuration)
    }

    fn update() -> &'static dyn UpdateStrategy<ValidatingWebhookConfiguration> {
        &Update
    }

    fn row(configuration: &ValidatingWebhookConfiguration, now: Timestamp) -> Vec<Value> {
        let count = configuration.webhooks.as_ref().map_or(0, Vec::len);
        vec![columns::name(&configuration.metadata), json!(count), columns::age(&configuration.metadata, now)]
    }
}

fn default(hook: &mut ValidatingWebhook) {
    webhooks::default(HookMut {
        client: &mut hook.client_config,
        failure_policy: &mut hook.failure_policy,
        match_conditions: &mut hook.match_conditions,
        match_policy: &mut hook.match_policy,
        namespace_selector: &mut hook.namespace_selector,
        object_selector: &mut hook.object_selector,
        rules: &mut hook.rules,
        timeout_seconds: &mut hook.timeout_seconds,
    });
}

struct Update;

impl UpdateStrategy<ValidatingWebhookConfiguration> for Update {
    fn prepare(&self, _cx: &Context<'_>, new: &mut ValidatingWebhookConfiguration, old: &ValidatingWebhookConfiguration) {
        if new.webhooks != old.webhooks {
            bump_generation(&mut new.metadata, &old.metadata);
        }
    }

    fn validate(&self, _cx: &Context<'_>, new: &ValidatingWebhookConfiguration, _old: &ValidatingWebhookConfiguration) -> Errors {
        check(new)
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Whole
    }
}

fn check(configuration: &ValidatingWebhookConfiguration) -> Errors {
    let hooks = configuration.webhooks.as_deref().unwrap_or_default();
    let mut errors: Errors = hooks.iter().enumerate().flat_map(|(i, hook)| check_hook(&Path::new("webhooks").index(i), hook)).collect();
    errors.extend(webhooks::check_unique(hooks.iter().map(|hook| hook.name.as_str())));
    errors
}

fn check_hook(path: &Path, hook: &ValidatingWebhook) -> Errors {
    webhooks::check(
        path,
        &Hook {
            name: &hook.name,
            client: &hook.client_config,
            failure_policy: hook.failure_policy.as_deref(),
            match_conditions: hook.match_conditions.as_ref(),
            match_policy: hook.match_policy.as_deref(),
            namespace_selector: hook.namespace_selector.as_ref(),
            object_selector: hook.object_selector.as_ref(),
            review_versions: &hook.admission_review_versions,
            rules: hook.rules.as_deref().unwrap_or_default(),
            side_effects: &hook.side_effects,
            timeout_seconds: hook.timeout_seconds,
        },
    )
}
