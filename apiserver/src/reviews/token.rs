//! TokenReview: who bears this token, and for whom is it meant?

use k8s_openapi::api::authentication::v1::TokenReview;
use machinery::{Status, status};

use super::{Asked, shown};
use crate::auth::authenticate::Refused;

pub(super) async fn answer(asked: &mut Asked<'_>, mut review: TokenReview) -> status::Result<TokenReview> {
    let token = review.spec.token.as_str();
    if token.is_empty() {
        return Err(Status::bad_request("a TokenReview needs a token"));
    }
    let audiences = review.spec.audiences.as_deref().unwrap_or_default();
    // What the question claims of its answer stays where nothing better is known.
    let mut status = review.status.take().unwrap_or_default();
    let found = asked.server.identify(token, audiences).await;
    let remarks = match &found {
        Ok(found) => Some(&found.remarks),
        Err(Refused::Invalidated(_, remarks)) => Some(&**remarks),
        Err(_) => None,
    };
    if let Some(remarks) = remarks {
        asked.warnings.extend(remarks.warning.map(str::to_owned));
        remarks.note.iter().for_each(|(key, value)| asked.caller.trail.note(key, || value.clone()));
    }
    match found {
        Ok(found) => {
            status.authenticated = Some(true);
            status.audiences = Some(found.audiences).filter(|audiences| !audiences.is_empty());
            status.user = Some(shown(&found.user));
        }
        Err(refused) => {
            let why = match refused {
                Refused::Unknown => "invalid bearer token".to_owned(),
                Refused::Because(why) | Refused::Absent(why) | Refused::Invalidated(why, _) => format!("invalid bearer token: {why}"),
            };
            status.authenticated = None;
            status.error = Some(why);
            status.user.get_or_insert_default();
        }
    }
    review.status = Some(status);
    Ok(review)
}
