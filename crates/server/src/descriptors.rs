//! How many sockets this process may have open.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Descriptors kept for everything but connections: the listener, standard streams, the store's files.
const RESERVED: usize = 64;

/// Raises the limit on open files as far as it goes and tells how many connections fit, at most `wanted`.
pub(crate) fn connections_max(wanted: usize) -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            limit.current = limit.maximum;
        }
    }
    fitting(wanted, limit.current)
}

/// `None` means that there is no limit.
fn fitting(wanted: usize, files_max: Option<u64>) -> usize {
    let Some(files_max) = files_max else { return wanted };
    let files_max = usize::try_from(files_max).unwrap_or(usize::MAX);
    let fitting = files_max.saturating_sub(RESERVED).max(1);
    if fitting < wanted {
        tracing::warn!(files_max, "connections are held to {fitting}: the limit on open files is low");
    }
    wanted.min(fitting)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_room_for_files() {
        let cases = [
            (16_384, Some(1_024), 960),
            (100, Some(1_024), 100),
            (16_384, None, 16_384),
            (16_384, Some(10), 1),
            (16_384, Some(u64::MAX), 16_384),
        ];
        for (wanted, files_max, expected) in cases {
            assert_eq!(fitting(wanted, files_max), expected, "{wanted} of {files_max:?}");
        }
        assert!(connections_max(usize::MAX) > 1);
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
