//! Checks of what the user of a request may do. Each is decided by the server, at a price that allows for two of them.

use std::rc::Rc;

use super::native;
use crate::cel::Stop;
use crate::cel::authorizer::Check;
use crate::cel::evaluate::Evaluated;
use crate::cel::library::{Cost, Function, ONE, member};
use crate::cel::value::Value as V;

const DECISION: Cost = Cost::Fixed(350_000);

#[rustfmt::skip]
pub const FUNCTIONS: &[Function] = &[
    member("path", "authorizer, string", "path_check", ONE, path),
    member("group", "authorizer, string", "group_check", ONE, group),
    member("serviceAccount", "authorizer, string, string", "authorizer", ONE, service_account),
    member("resource", "group_check, string", "resource_check", ONE, resource),
    member("subresource", "resource_check, string", "resource_check", ONE, subresource),
    member("namespace", "resource_check, string", "resource_check", ONE, namespace),
    member("name", "resource_check, string", "resource_check", ONE, name),
    member("fieldSelector", "resource_check, string", "resource_check", ONE, field_selector),
    member("labelSelector", "resource_check, string", "resource_check", ONE, label_selector),
    member("check", "path_check, string", "decision", DECISION, check),
    member("check", "resource_check, string", "decision", DECISION, check),
    member("allowed", "decision", "bool", ONE, allowed),
    member("reason", "decision", "string", ONE, reason),
    member("errored", "decision", "bool", ONE, errored),
    member("error", "decision", "string", ONE, error),
];

fn changed<'v>(value: &V<'v>, change: impl FnOnce(&mut Check)) -> Evaluated<'v> {
    let V::Check(authorizer, before) = value else { return Err(Stop::overload("check")) };
    let mut after = Check::clone(before);
    change(&mut after);
    Ok(V::Check(*authorizer, Rc::new(after)))
}

native! {
    path(_run: V::Authorizer(authorizer, account), V::String(path)) {
        let check = Check { service_account: account.as_deref().cloned(), path: Some(path.to_string()), ..Check::default() };
        Ok(V::Check(*authorizer, Rc::new(check)))
    };
    group(_run: V::Authorizer(authorizer, account), V::String(group)) {
        let check = Check { service_account: account.as_deref().cloned(), group: group.to_string(), ..Check::default() };
        Ok(V::Check(*authorizer, Rc::new(check)))
    };
    service_account(_run: V::Authorizer(authorizer, _), V::String(namespace), V::String(name)) {
        if !crate::names::dns1123_label(namespace, false).is_empty() || !crate::names::dns1123_subdomain(name, false).is_empty() {
            return Err(Stop::failed("serviceAccount() takes a namespace and a name"));
        }
        Ok(V::Authorizer(*authorizer, Some(Rc::new((namespace.to_string(), name.to_string())))))
    };
    resource(_run: check, V::String(text)) changed(check, |check| check.resource = Some(text.to_string()));
    subresource(_run: check, V::String(text)) changed(check, |check| check.subresource = text.to_string());
    namespace(_run: check, V::String(text)) changed(check, |check| check.namespace = text.to_string());
    name(_run: check, V::String(text)) changed(check, |check| check.name = text.to_string());
    field_selector(_run: check, V::String(text)) changed(check, |check| check.field_selector = text.to_string());
    label_selector(_run: check, V::String(text)) changed(check, |check| check.label_selector = text.to_string());
    check(_run: V::Check(authorizer, check), V::String(verb)) {
        Ok(V::Decision(Rc::new(authorizer.decide(check, verb))))
    };
    allowed(_run: V::Decision(verdict)) Ok(V::Bool(verdict.allowed));
    reason(_run: V::Decision(verdict)) Ok(V::text(verdict.reason.as_str()));
    errored(_run: V::Decision(verdict)) Ok(V::Bool(verdict.error.is_some()));
    error(_run: V::Decision(verdict)) Ok(V::text(verdict.error.as_deref().unwrap_or_default()));
}
