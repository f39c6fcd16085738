//! What a caller may choose about the door. Every field has a default that fits an index on a public address.

use std::time::Duration;

use peerage_wire::limits;

/// Open connections from loopback. It is one address but many clients: every peer and command of this machine, or a
/// proxy in front with everybody behind it. A quarter of all still leaves room for others.
const LOOPBACK_CONNECTIONS_MAX: usize = limits::CONNECTIONS_MAX / 4;

/// The slowest a client may send or read: less than this many bytes in a window, and it is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slowest {
    /// Bytes that must pass in each window while the other side is waited for.
    pub bytes: u64,
    /// The window.
    pub window: Duration,
}

impl Default for Slowest {
    /// 4 KiB/s over 30 s: below the slowest honest line, above a socket that is only held open.
    fn default() -> Self {
        Self { bytes: 30 * (4 << 10), window: Duration::from_secs(30) }
    }
}

/// How the door behaves.
#[derive(Debug, Clone)]
pub struct Config {
    /// Open connections in all; lowered to what the process may open less 64.
    pub connections_max: usize,
    /// Open connections from one address (IPv6: one /64, which is what one customer gets).
    pub connections_per_address_max: usize,
    /// Open connections from this machine itself.
    pub connections_loopback_max: usize,
    /// Names under which the index may be asked besides its IP addresses, `localhost` and the machine's own name.
    pub allowed_hosts: Vec<String>,
    /// From a connection's first byte, or the end of the last request, to the end of a request's headers.
    pub header_timeout: Duration,
    /// Below this a request's body or an answer's reader is cut.
    pub slowest: Slowest,
    /// How long running requests may take to end after `shutdown`.
    pub drain_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connections_max: limits::CONNECTIONS_MAX,
            connections_per_address_max: limits::CONNECTIONS_PER_ADDRESS_MAX,
            connections_loopback_max: LOOPBACK_CONNECTIONS_MAX,
            allowed_hosts: Vec::new(),
            header_timeout: limits::HEADER_TIMEOUT,
            slowest: Slowest::default(),
            drain_timeout: limits::DRAIN_TIMEOUT,
        }
    }
}
