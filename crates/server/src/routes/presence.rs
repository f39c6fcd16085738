//! A peer comes (`PUT /api/v1/peers/{id}`), stays (`POST …/heartbeat`) and goes (`DELETE`).

use std::sync::Arc;

use axum::Json as Reply;
use axum::extract::State;
use http::StatusCode;
use peerage_wire::PeerId;
use peerage_wire::api::{Announced, Announcement, ErrorBody, Heartbeat, HeartbeatReply};

use crate::address::Ends;
use crate::app::App;
use crate::error::ApiError;
use crate::extract::{Json, Owner};

/// Announce a peer: who it is, where it serves, what it holds.
///
/// Others are told to reach it at the address this request comes from, at the announced ports. The reply says
/// whether the index must be sent every file again.
#[utoipa::path(
    put, path = "/api/v1/peers/{id}", tag = "peers", request_body = Announcement,
    params(("id" = PeerId, Path, description = "The peer's own id.")),
    security(("token" = [])),
    responses(
        (status = 200, description = "the lease", body = Announced),
        (status = 401, description = "no token, or one that ended", body = ErrorBody),
        (status = 403, description = "another peer's token", body = ErrorBody),
        (status = 409, description = "a higher epoch was announced", body = ErrorBody),
        (status = 507, description = "the index is full: try again later", body = ErrorBody),
        (status = "default", description = "refused", body = ErrorBody),
    )
)]
pub(crate) async fn announce(
    State(app): State<Arc<App>>,
    ends: Ends,
    owner: Owner,
    Json(what): Json<Announcement>,
) -> Result<Reply<Announced>, ApiError> {
    if what.doors.native == 0 {
        return Err(ApiError::bad_request(
            "port 0 can't be reached",
            "announce the port the door listens on",
        ));
    }
    let (peer, seen_ip) = (owner.peer, ends.remote.ip());
    let announced = app.ask(move |index, now| index.announce(peer, &what, seen_ip, now)).await?;
    tracing::info!(peer = %peer.short(), address = %announced.address, resync = announced.resync, "announced");
    Ok(Reply(ends.localised(announced)))
}

/// Say that a peer is still here.
///
/// Keeps the lease and the token of this request. The reply says whether the index holds something else than the
/// digest, if one was sent. A peer whose lease ran out, or whose index was started again, is back with one heartbeat
/// where its epoch and its digest are those the index knows.
#[utoipa::path(
    post, path = "/api/v1/peers/{id}/heartbeat", tag = "peers", request_body = Heartbeat,
    params(("id" = PeerId, Path, description = "The peer's own id.")),
    security(("token" = [])),
    responses(
        (status = 200, description = "the lease", body = HeartbeatReply),
        (status = 401, description = "no token, or one that ended", body = ErrorBody),
        (status = 403, description = "another peer's token", body = ErrorBody),
        (status = 404, description = "the peer is not here, and not back by this: announce it", body = ErrorBody),
        (status = 409, description = "a higher epoch was announced", body = ErrorBody),
        (status = "default", description = "refused", body = ErrorBody),
    )
)]
pub(crate) async fn heartbeat(
    State(app): State<Arc<App>>,
    owner: Owner,
    Json(beat): Json<Heartbeat>,
) -> Result<Reply<HeartbeatReply>, ApiError> {
    let now = app.elapsed();
    app.sessions().renew(&owner.token, now);
    let peer = owner.peer;
    // Nearly all of them: with a million peers there are tens of thousands a second.
    if let Some(reply) = app.ask_now(|index, now| index.heartbeat_now(peer, beat, now))? {
        return Ok(Reply(reply));
    }
    app.ask(move |index, now| index.heartbeat(peer, beat, now)).await.map(Reply)
}

/// Leave: the peer and its files are gone from every answer at once.
#[utoipa::path(
    delete, path = "/api/v1/peers/{id}", tag = "peers",
    params(("id" = PeerId, Path, description = "The peer's own id.")),
    security(("token" = [])),
    responses(
        (status = 204, description = "gone, or never here"),
        (status = 401, description = "no token, or one that ended", body = ErrorBody),
        (status = 403, description = "another peer's token", body = ErrorBody),
        (status = "default", description = "refused", body = ErrorBody),
    )
)]
pub(crate) async fn quit(State(app): State<Arc<App>>, owner: Owner) -> Result<StatusCode, ApiError> {
    let peer = owner.peer;
    app.ask(move |index, _now| index.quit(peer)).await?;
    tracing::info!(peer = %peer.short(), "quit");
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::Request;
    use peerage_index::Index;
    use peerage_wire::limits;
    use tokio::sync::watch;
    use tokio::time::sleep;
    use tower::ServiceExt;

    use super::*;
    use crate::address::Origin;
    use crate::challenge::Proof;
    use crate::config::Config;
    use crate::opening::Standing;
    use crate::routes;

    async fn beat(app: &Arc<App>, peer: PeerId, token: &str) -> StatusCode {
        let request = Request::post(format!("/api/v1/peers/{peer}/heartbeat"))
            .header("host", "localhost")
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(Body::from(r#"{"epoch":1}"#));
        routes::router(app).oneshot(request.unwrap()).await.unwrap().status()
    }

    #[tokio::test(start_paused = true)]
    async fn heartbeats_keep_a_token_alive() {
        let app = Arc::new(App::new(watch::Sender::new(Standing::Opening), &Config::default()).unwrap());
        app.open(Index::embedded());
        let peer = PeerId::from_bytes([1; 32]);
        let proof = Proof { peer, challenge: [0; 32], ends: app.elapsed() + limits::CHALLENGE };
        let token = app.sessions().open(&proof, Origin::Loopback, [7; 32], app.elapsed()).unwrap();
        for _ in 0..3 {
            sleep(limits::TOKEN * 9 / 10).await;
            assert_eq!(beat(&app, peer, &token).await, StatusCode::NOT_FOUND, "known, but not announced");
        }
        sleep(limits::TOKEN).await;
        assert_eq!(beat(&app, peer, &token).await, StatusCode::UNAUTHORIZED);
    }
}
