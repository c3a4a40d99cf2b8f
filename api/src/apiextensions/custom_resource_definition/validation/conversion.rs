//! How objects get from one version to another.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{CustomResourceDefinitionSpec, WebhookClientConfig};
use machinery::field::{Error, Errors, Path};

use super::{CaBundle, some};
use crate::admissionregistration::webhooks;
use crate::certificates::validation::pem;
use crate::validate::choice;

fn client(spec: &CustomResourceDefinitionSpec) -> Option<&WebhookClientConfig> {
    spec.conversion.as_ref()?.webhook.as_ref()?.client_config.as_ref()
}

fn bundle(client: &WebhookClientConfig) -> &[u8] {
    client.ca_bundle.as_ref().map(|bundle| bundle.0.as_slice()).unwrap_or_default()
}

/// Whether certificates that are valid now have to stay so.
pub(super) fn has_good_bundle(spec: &CustomResourceDefinitionSpec) -> bool {
    client(spec).map(bundle).is_none_or(|bundle| bundle.is_empty() || pem("CERTIFICATE", bundle).is_ok())
}

pub(super) fn check(path: &Path, spec: &CustomResourceDefinitionSpec, ca_bundle: CaBundle) -> Errors {
    let Some(conversion) = &spec.conversion else { return Errors::new() };
    let at = path.child("strategy");
    let mut errors = Errors::new();
    if conversion.strategy != "None" && spec.preserve_unknown_fields == Some(true) {
        errors.push(Error::invalid(&at, &conversion.strategy, "must be None if spec.preserveUnknownFields is true"));
    }
    errors.extend(choice(&at, &conversion.strategy, &["None", "Webhook"]));
    let (webhook, client) = (path.child("webhookClientConfig"), client(spec));
    let reviews = some(conversion.webhook.as_ref().map(|webhook| &webhook.conversion_review_versions));
    let reviewed = path.child("conversionReviewVersions");
    if conversion.strategy == "Webhook" {
        match client {
            None => errors.push(Error::required(&webhook, "a webhook needs an address")),
            Some(client) => errors.extend(check_client(&webhook, client, ca_bundle)),
        }
        errors.extend(webhooks::check_reviews(&reviewed, reviews));
    } else {
        let why = "must not be set where the strategy is not Webhook";
        errors.extend(client.map(|_| Error::forbidden(&webhook, why)));
        errors.extend((!reviews.is_empty()).then(|| Error::forbidden(&reviewed, why)));
    }
    errors
}

fn check_client(path: &Path, client: &WebhookClientConfig, ca_bundle: CaBundle) -> Errors {
    let mut errors = match (&client.url, &client.service) {
        (Some(url), None) => webhooks::check_url(&path.child("url"), url),
        (None, Some(service)) => {
            webhooks::check_service(&path.child("service"), (&service.name, &service.namespace), service.path.as_deref(), service.port)
        }
        _ => vec![Error::required(path, "exactly one of url and service is required")],
    };
    let bundle = bundle(client);
    if ca_bundle == CaBundle::Valid
        && !bundle.is_empty()
        && let Err(why) = pem("CERTIFICATE", bundle)
    {
        errors.push(Error::invalid(&path.child("caBundle"), "", why));
    }
    errors
}
