//! TokenReview: who bears this token, and for whom is it meant?

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewStatus, UserInfo};
use machinery::{Status, status};

use super::{Asked, shown};
use crate::auth::authenticate::Refused;

pub(super) async fn answer(asked: &Asked<'_>, mut review: TokenReview) -> status::Result<TokenReview> {
    let token = review.spec.token.as_str();
    if token.is_empty() {
        return Err(Status::bad_request("a TokenReview needs a token"));
    }
    let audiences = review.spec.audiences.as_deref().unwrap_or_default();
    review.status = Some(match asked.server.identify(token, audiences).await {
        Ok(found) => TokenReviewStatus {
            authenticated: Some(true),
            audiences: Some(found.audiences).filter(|audiences| !audiences.is_empty()),
            user: Some(shown(&found.user)),
            error: None,
        },
        Err(refused) => {
            let why = match refused {
                Refused::Unknown => "invalid bearer token".to_owned(),
                Refused::Because(why) | Refused::Absent(why) => format!("invalid bearer token: {why}"),
            };
            TokenReviewStatus { error: Some(why), user: Some(UserInfo::default()), ..TokenReviewStatus::default() }
        }
    });
    Ok(review)
}
