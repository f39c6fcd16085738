//! `POST /api/v1/session`: a peer proves its key and gets a bearer token.

use std::sync::Arc;

use axum::Json as Reply;
use axum::extract::State;
use peerage_wire::api::{ErrorBody, SessionAnswer, SessionReply, SessionRequest};
use peerage_wire::{PeerId, limits};

use crate::address::{Ends, Origin};
use crate::app::{App, random};
use crate::error::ApiError;
use crate::extract::{HostName, Json};

/// Open a session: ask for a challenge, then answer it for a token.
///
/// Without `answer` the reply is a challenge. The peer signs it with its Ed25519 key (see `peerage_wire::session`:
/// a fixed label, the `Host` of this request, its id and the challenge) and sends it as `answer`; then the reply is
/// a bearer token, which every write needs.
#[utoipa::path(
    post, path = "/api/v1/session", tag = "peers", request_body = SessionRequest,
    responses(
        (status = 200, description = "a challenge or a token", body = SessionReply),
        (status = 401, description = "the challenge is not ours, too old or used", body = ErrorBody),
        (status = 403, description = "the signature does not fit", body = ErrorBody),
        (status = "default", description = "refused", body = ErrorBody),
    )
)]
pub(crate) async fn open_session(
    State(app): State<Arc<App>>,
    ends: Ends,
    HostName(host): HostName,
    Json(request): Json<SessionRequest>,
) -> Result<Reply<SessionReply>, ApiError> {
    let reply = match &request.answer {
        None => challenge(&app, &request.peer, &host)?,
        Some(answer) => token(&app, request.peer, &host, answer, Origin::of(ends.remote.ip()))?,
    };
    Ok(Reply(reply))
}

fn challenge(app: &App, peer: &PeerId, host: &str) -> Result<SessionReply, ApiError> {
    let nonce = random().map_err(ApiError::internal)?;
    let challenge = app.challenger.challenge(peer, host, nonce, app.elapsed());
    Ok(SessionReply::Challenge { challenge, expires_secs: limits::CHALLENGE.as_secs() })
}

fn token(
    app: &App,
    peer: PeerId,
    host: &str,
    answer: &SessionAnswer,
    origin: Origin,
) -> Result<SessionReply, ApiError> {
    let now = app.elapsed();
    let proof = app.challenger.verify(peer, host, answer, now)?;
    let random = random().map_err(ApiError::internal)?;
    let token = app.sessions().open(&proof, origin, random, now)?;
    tracing::debug!(peer = %peer.short(), "session opened");
    Ok(SessionReply::Token { token, expires_secs: limits::TOKEN.as_secs() })
}
