//! The functions of CEL and of Kubernetes, one file for each library, all in one list.

pub(super) mod authorization;
pub(super) mod conversions;
pub(super) mod format;
pub(super) mod list_extension;
pub(super) mod lists;
pub(super) mod network;
pub(super) mod operators;
pub(super) mod optionals;
pub(super) mod quantities;
pub(super) mod semver;
pub(super) mod strings;
pub(super) mod text_format;
pub(super) mod times;
pub(super) mod url;

use super::library::Function;

pub(super) const ALL: [&[Function]; 13] = [
    operators::FUNCTIONS,
    conversions::FUNCTIONS,
    times::FUNCTIONS,
    strings::FUNCTIONS,
    lists::FUNCTIONS,
    list_extension::FUNCTIONS,
    optionals::FUNCTIONS,
    url::FUNCTIONS,
    network::FUNCTIONS,
    quantities::FUNCTIONS,
    semver::FUNCTIONS,
    format::FUNCTIONS,
    authorization::FUNCTIONS,
];

/// A function from patterns of its arguments. What else comes, the checker has let pass as dyn: no such overload.
macro_rules! native {
    ($($name:ident($run:ident: $($args:pat),+) $body:expr;)*) => {
        $(
            fn $name<'v>($run: &mut $crate::cel::evaluate::Run<'v>, args: &[$crate::cel::value::Value<'v>]) -> $crate::cel::evaluate::Evaluated<'v> {
                match args {
                    [$($args),+] => $body,
                    _ => Err($crate::cel::Stop::overload(stringify!($name))),
                }
            }
        )*
    };
}

use native;
