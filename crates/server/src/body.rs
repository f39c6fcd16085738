//! Reads a request's body into memory, within its own limit and within what all uploads may hold together.

use std::error::Error as StdError;
use std::sync::Arc;

use axum::body::{Body, HttpBody as _};
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body_util::BodyExt;
use peerage_wire::api::codes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ApiError;
use crate::pace::TooSlow;

/// Bytes that bodies may hold at the same time: 64 of the largest batches, a hundredth of a server's memory.
const UPLOAD_BYTES_MAX: usize = 512 << 20;

/// Memory for bodies. What is taken by bytes that came, not by those announced: an open connection alone holds
/// nothing.
pub(crate) struct UploadRoom(Arc<Semaphore>);

impl Default for UploadRoom {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(UPLOAD_BYTES_MAX)))
    }
}

/// A body in memory; its room is free again when this is dropped.
pub(crate) struct Upload {
    pub(crate) bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

impl UploadRoom {
    /// Reads a body of at most `bytes_max`.
    pub(crate) async fn read(&self, mut body: Body, bytes_max: usize) -> Result<Upload, ApiError> {
        if body.size_hint().lower() > bytes_max as u64 {
            return Err(too_large(bytes_max)); // it says so itself
        }
        let mut bytes = BytesMut::new();
        let mut room: Option<OwnedSemaphorePermit> = None;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|error| failed(&error))?.into_data() else { continue };
            if bytes.len() + data.len() > bytes_max {
                return Err(too_large(bytes_max));
            }
            let more = self.take(data.len())?;
            match &mut room {
                Some(room) => room.merge(more),
                None => room = Some(more),
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Upload { bytes: bytes.freeze(), _room: room })
    }

    /// Does not wait: uploads that wait for each other while they hold what they have would never end.
    fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, ApiError> {
        let permits = u32::try_from(bytes).map_err(ApiError::internal)?;
        let room = Arc::clone(&self.0).try_acquire_many_owned(permits);
        room.map_err(|_| ApiError::busy("too many uploads at the same time"))
    }
}

fn too_large(bytes_max: usize) -> ApiError {
    ApiError::too_large(
        format_args!("the body is larger than {bytes_max} bytes"),
        "send less at once; a share's files go in batches",
    )
}

fn failed(error: &axum::Error) -> ApiError {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(link) = cause {
        if is_too_slow(link) {
            return ApiError::new(
                StatusCode::REQUEST_TIMEOUT,
                codes::LIMIT,
                TooSlow,
                "send at least 4 KiB/s",
            );
        }
        cause = link.source();
    }
    ApiError::bad_request("the body ended early", "send as many bytes as the headers promise")
}

fn is_too_slow(error: &(dyn StdError + 'static)) -> bool {
    let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    inner.and_then(|inner| inner.downcast_ref::<TooSlow>()).is_some()
}
