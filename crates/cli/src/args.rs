//! The command line: every command, flag, default and example.
//!
//! Invariant: every flag has a `PEERAGE_…` variable; its value in `config.toml` goes by the flag's own long name.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

use peerage_doors::ftp::{self, PortRange};
use peerage_peer::rate::{RATE_DOWN_MIN, RateLimit, RateLimits};
use peerage_peer::serve::{HttpListen, NotLocal};
use peerage_peer::share::Audience;
use peerage_wire::{Kind, PeerName, api, parse_bytes};

/// Find any file on anyone's machine and fetch it straight from there.
#[derive(Debug, Parser)]
#[command(name = "peerage", version, about = "Find any file on anyone's machine and fetch it straight from there", disable_help_subcommand = true, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    /// Without a command: the shell.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

const EXAMPLES: &str = "\
Examples:
  peerage demo                              see it all work on this machine
  peerage index                             start the index
  peerage share ~/Music --name studio       share a folder
  peerage search blue note --type audio     find files
  peerage get studio/Music/Album -o .       fetch a folder
  peerage                                   the shell: register, search, list, download, quit

Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 unreachable, 5 refused, 6 corrupt";

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Where a peer keeps its key and its memory of hashes, and an index its registrations.
    #[arg(long, global = true, env = "PEERAGE_HOME", value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,
    /// What to log to stderr: error, warn, info, debug or trace, also by module.
    #[arg(
        long,
        global = true,
        env = "PEERAGE_LOG",
        value_name = "FILTER",
        default_value = "warn",
        hide = true
    )]
    pub(crate) log: String,
}

/// Where the index is, for the commands that ask it.
#[derive(Debug, Clone, Args)]
pub(crate) struct IndexUrl {
    /// The index to ask.
    #[arg(
        long = "index",
        env = "PEERAGE_INDEX",
        value_name = "URL",
        default_value = "http://127.0.0.1:18964"
    )]
    pub(crate) url: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the index: it knows what everybody shares.
    #[command(after_help = "Examples:\n  peerage index --listen 0.0.0.0:18964\n  \
        peerage index --home /srv/peerage --memory-max 14G\n  \
        peerage index --check")]
    Index(IndexArgs),
    /// Share folders: register their files and serve them.
    #[command(after_help = "Examples:\n  peerage share ~/Music\n  \
        peerage share Scans=/srv/scans ~/Papers --exclude '*.tmp' --index http://nas:18964\n  \
        peerage share ~/Music --ftp 0.0.0.0 --audience public\n  \
        peerage share ~/Music --http --audience public\n  \
        peerage share ftp://nas.local/music       (a server that runs no Peerage; `ftps://` for TLS)")]
    Share(ShareArgs),
    /// Find files by words in their names.
    #[command(after_help = "Examples:\n  peerage search blue note --type audio --min-size 10M\n  \
        peerage search --json '\"annual report\" -draft'")]
    Search(SearchArgs),
    /// List everything that is registered.
    #[command(after_help = "Example:\n  peerage list --peer studio --json | wc -l")]
    List(ListArgs),
    /// Fetch files or folders, every byte proven.
    #[command(
        after_help = "Examples:\n  peerage get 'blue note.flac'\n  peerage get studio/Music/Album -o ~/Music\n  \
        peerage get --resume\n  \
        peerage get af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    )]
    Get(GetArgs),
    /// Show who is here.
    #[command(after_help = "Example:\n  peerage peers --json")]
    Peers(PeersArgs),
    /// Say who may log in at the FTP door of this home.
    #[command(name = "ftp-user", after_help = "Example:\n  peerage ftp-user add anna --share Music")]
    FtpUser(FtpUserArgs),
    /// Type commands: register, search, list, download, quit (the same as no command at all).
    #[command(after_help = "Example:\n  peerage shell --index http://nas:18964")]
    Shell(ShellArgs),
    /// See it work: an index, two peers, a search and two downloads on this machine.
    #[command(after_help = "Examples:\n  peerage demo\n  peerage demo ~/Music --once")]
    Demo(DemoArgs),
    /// Print a completion script for a shell.
    #[command(
        after_help = "Example:\n  peerage completions bash > ~/.local/share/bash-completion/completions/peerage"
    )]
    Completions {
        /// The shell it is for.
        shell: clap_complete::Shell,
    },
    /// Print the manual page.
    #[command(after_help = "Example:\n  peerage man > ~/.local/share/man/man1/peerage.1")]
    Man,
}

#[derive(Debug, Args)]
pub(crate) struct IndexArgs {
    /// Address and port to listen on.
    #[arg(long, env = "PEERAGE_INDEX_LISTEN", value_name = "ADDR:PORT", default_value = "127.0.0.1:18964")]
    pub(crate) listen: SocketAddr,
    /// A host name that people reach this index by (addresses and this machine's own name always work).
    #[arg(long = "allow-host", env = "PEERAGE_ALLOW_HOST", value_name = "HOST", value_delimiter = ',')]
    pub(crate) allowed_hosts: Vec<String>,
    /// Memory above which registrations are refused while searches go on, such as 14G (default: no ceiling). What the
    /// process needs for requests comes on top.
    #[arg(long, env = "PEERAGE_MEMORY_MAX", value_name = "SIZE", value_parser = parse_memory)]
    pub(crate) memory_max: Option<u64>,
    /// Prove what the index of this home keeps instead of running it, and print what was found.
    #[arg(long, env = "PEERAGE_CHECK", value_parser = FalseyValueParser::new())]
    pub(crate) check: bool,
    /// With `--check`: one JSON object.
    #[arg(long, env = "PEERAGE_JSON", value_parser = FalseyValueParser::new())]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ShareArgs {
    /// Folders to share, here or on a server (`ftp://[USER@]HOST[:PORT]/DIR`, `ftps://…`); `Name=DIR` gives one another name
    /// than its own. A server's password is read from `PEERAGE_FTP_PASSWORD` or `config.toml`.
    #[arg(required = true, value_name = "DIR")]
    pub(crate) dirs: Vec<String>,
    #[command(flatten)]
    pub(crate) index: IndexUrl,
    #[command(flatten)]
    pub(crate) peer: PeerArgs,
    /// Leave out files and folders that match, by name or by path below the share; `{a,b}` is either.
    #[arg(long, env = "PEERAGE_EXCLUDE", value_name = "GLOB")]
    pub(crate) exclude: Vec<String>,
    /// Who sees these folders by FTP and in a browser: everybody, or only who is given them (`peerage ftp-user`). Other
    /// peers find and fetch them either way.
    #[arg(long, env = "PEERAGE_AUDIENCE", value_enum, default_value_t)]
    pub(crate) audience: AudienceArg,
    /// Open the folder door without TLS too, for browsers and players of this machine (default: 127.0.0.1:18966, or another
    /// port where that is taken).
    #[arg(
        long,
        env = "PEERAGE_HTTP",
        value_name = "ADDR",
        num_args = 0..=1,
        default_missing_value = "true",
        value_parser = parse_http
    )]
    pub(crate) http: Option<HttpSwitch>,
    /// How often servers, and folders that can't be watched, are looked at, in seconds.
    #[arg(long, env = "PEERAGE_POLL_EVERY", value_name = "SECS", default_value = "30", value_parser = parse_secs)]
    pub(crate) poll_every: Duration,
    #[command(flatten)]
    pub(crate) ftp: FtpArgs,
}

/// Whether to open the folder door without TLS, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HttpSwitch(pub(crate) Option<HttpListen>);

/// A size that something fits in.
fn parse_memory(text: &str) -> Result<u64, String> {
    match parse_bytes(text).map_err(|error| error.to_string())? {
        0 => Err("with no memory nothing could be registered: leave it out for no ceiling".to_owned()),
        bytes => Ok(bytes),
    }
}

/// An address, or as variables and settings say yes and no.
fn parse_http(text: &str) -> Result<HttpSwitch, NotLocal> {
    Ok(HttpSwitch(match said(text) {
        Some(false) => None,
        Some(true) => Some(HttpListen::USUAL),
        None => Some(text.trim().parse()?),
    }))
}

fn parse_secs(text: &str) -> Result<Duration, String> {
    let secs = text.parse().ok().filter(|secs| (1..=86_400).contains(secs));
    secs.map(Duration::from_secs).ok_or_else(|| "expected a number of seconds from 1 to 86400".to_owned())
}

/// [`Audience`] as a flag's value.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(crate) enum AudienceArg {
    /// Everybody.
    Public,
    /// Who is given them.
    #[default]
    Members,
}

impl From<AudienceArg> for Audience {
    fn from(audience: AudienceArg) -> Self {
        match audience {
            AudienceArg::Public => Self::Public,
            AudienceArg::Members => Self::Members,
        }
    }
}

/// The FTP door.
#[derive(Debug, Clone, Args)]
pub(crate) struct FtpArgs {
    /// Serve over FTP as well, for reading (default: 127.0.0.1:2121, or another port where that is taken).
    #[arg(long, env = "PEERAGE_FTP", value_name = "ADDR", num_args = 0..=1, default_missing_value = "true", value_parser = parse_ftp)]
    pub(crate) ftp: Option<FtpSwitch>,
    /// Whether FTP clients must use TLS (default: `optional` on loopback, `required` elsewhere).
    #[arg(long, env = "PEERAGE_FTP_TLS", value_enum, value_name = "WHEN")]
    pub(crate) ftp_tls: Option<FtpTls>,
    /// The ports of FTP's data connections, to be let through a firewall (default: any of 49152-65535).
    #[arg(long, env = "PEERAGE_FTP_PASSIVE", value_name = "FIRST-LAST")]
    pub(crate) ftp_passive: Option<PortRange>,
    /// The IPv4 address, such as 203.0.113.5, that `PASV` tells FTP clients to connect to, where it is not the one they came to.
    #[arg(long, env = "PEERAGE_FTP_ADVERTISE", value_name = "IP")]
    pub(crate) ftp_advertise: Option<Ipv4Addr>,
}

/// Where the FTP door is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FtpAddress {
    pub(crate) address: SocketAddr,
    /// Whether the port was asked for, so that no other will do.
    pub(crate) is_port_given: bool,
}

/// [`ftp::Tls`] as a flag's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FtpTls {
    /// To log in, and for data.
    Required,
    /// As the client likes.
    Optional,
    /// Not at all.
    Off,
}

/// Whether to open an FTP door, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FtpSwitch(pub(crate) Option<FtpAddress>);

fn parse_ftp(text: &str) -> Result<FtpSwitch, String> {
    let usual = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), ftp::FTP_PORT);
    Ok(FtpSwitch(match said(text) {
        Some(false) => None,
        Some(true) => Some(FtpAddress { address: usual, is_port_given: false }),
        None => Some(parse_ftp_address(text)?),
    }))
}

/// A yes or a no, as variables and settings say it.
fn said(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "" | "0" | "n" | "no" | "f" | "false" | "off" => Some(false),
        "1" | "y" | "yes" | "t" | "true" | "on" => Some(true),
        _ => None,
    }
}

/// An address, a port, or both.
fn parse_ftp_address(text: &str) -> Result<FtpAddress, String> {
    let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
    let whole = |ip, port, is_port_given| FtpAddress { address: SocketAddr::new(ip, port), is_port_given };
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    match (text.parse::<SocketAddr>(), bare.parse::<IpAddr>(), text.trim_start_matches(':').parse::<u16>()) {
        (Ok(address), _, _) => Ok(whole(address.ip(), address.port(), true)),
        (_, Ok(ip), _) => Ok(whole(ip, ftp::FTP_PORT, false)),
        (_, _, Ok(port)) => Ok(whole(loopback, port, true)),
        _ => Err("expected an address, a port or both, such as `0.0.0.0:2121`; folders go before `--ftp`"
            .to_owned()),
    }
}

#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct FtpUserArgs {
    #[command(subcommand)]
    pub(crate) what: FtpUserCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum FtpUserCommand {
    /// Add a user, or give one a new password, of 8 bytes or more; it is asked for.
    #[command(after_help = "Examples:\n  peerage ftp-user add anna --share Music\n  \
        peerage ftp-user add backup --password-file /run/secrets/backup")]
    Add {
        /// The name to log in with.
        #[arg(value_name = "NAME")]
        name: String,
        /// A share the user is given beside the public ones (default: all shares); several times for several.
        #[arg(long, value_name = "SHARE")]
        share: Vec<String>,
        /// A file whose first line is the password; `-` is standard input.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Show who there is.
    List,
    /// Remove a user; running sessions go on.
    Remove {
        /// The name.
        #[arg(value_name = "NAME")]
        name: String,
    },
}

/// What a peer that serves is called and where it listens.
#[derive(Debug, Clone, Args)]
pub(crate) struct PeerArgs {
    /// This peer's name for people (default: the machine's name).
    #[arg(long, env = "PEERAGE_NAME", value_name = "NAME")]
    pub(crate) name: Option<PeerName>,
    /// Address and port to serve on (default: 0.0.0.0:18965, or another port where that is taken).
    #[arg(long, env = "PEERAGE_LISTEN", value_name = "ADDR:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
}

/// How fast a peer may be.
#[derive(Debug, Clone, Args)]
pub(crate) struct LimitArgs {
    /// Send at most so much a second in all, such as 10M (at least 64K).
    #[arg(long, env = "PEERAGE_LIMIT_UP", value_name = "RATE", value_parser = parse_rate)]
    pub(crate) limit_up: Option<RateLimit>,
    /// Receive at most so much a second in all (at least 256K). A `get` that is handed to this home's running peer goes by
    /// that peer's limits.
    #[arg(long, env = "PEERAGE_LIMIT_DOWN", value_name = "RATE", value_parser = parse_rate_down)]
    pub(crate) limit_down: Option<RateLimit>,
}

impl From<LimitArgs> for RateLimits {
    fn from(args: LimitArgs) -> Self {
        Self { up: args.limit_up, down: args.limit_down }
    }
}

fn parse_rate_down(text: &str) -> Result<RateLimit, String> {
    let stalls = || "a limit below 256 KiB a second stalls downloads: 256K is the least".to_owned();
    let bytes = parse_bytes(text.trim().trim_end_matches("/s")).map_err(|error| error.to_string())?;
    RateLimit::new(bytes).ok().filter(|_| bytes >= RATE_DOWN_MIN).ok_or_else(stalls)
}

fn parse_rate(text: &str) -> Result<RateLimit, String> {
    let bytes = parse_bytes(text.trim().trim_end_matches("/s")).map_err(|error| error.to_string())?;
    RateLimit::new(bytes).map_err(|error| error.to_string())
}

#[derive(Debug, Args)]
pub(crate) struct SearchArgs {
    /// Words that must all match, the last also as a beginning; "a phrase", -not, a OR b, *part*; and
    /// filters: type:audio, size:>10M, size:10M..1G, peer:NAME, hash:HEX, -type:video, -peer:NAME.
    #[arg(required = true, value_name = "WORDS")]
    pub(crate) words: Vec<String>,
    #[command(flatten)]
    pub(crate) index: IndexUrl,
    /// Only this kind: audio, video, image, document, archive, program or data.
    #[arg(long = "type", env = "PEERAGE_TYPE", value_name = "TYPE")]
    pub(crate) kind: Option<Kind>,
    /// At least this size.
    #[arg(long, env = "PEERAGE_MIN_SIZE", value_name = "SIZE", value_parser = parse_bytes)]
    pub(crate) min_size: Option<u64>,
    /// At most this size.
    #[arg(long, env = "PEERAGE_MAX_SIZE", value_name = "SIZE", value_parser = parse_bytes)]
    pub(crate) max_size: Option<u64>,
    /// Only what this peer has, by name or id.
    #[arg(long, env = "PEERAGE_PEER", value_name = "PEER")]
    pub(crate) peer: Option<String>,
    /// The order of the results.
    #[arg(long, env = "PEERAGE_SORT", value_enum, default_value_t)]
    pub(crate) sort: Sort,
    /// At most so many results.
    #[arg(long, env = "PEERAGE_LIMIT", value_name = "N", default_value_t = peerage_wire::limits::HITS_DEFAULT, value_parser = at_least_one)]
    pub(crate) limit: usize,
    /// One JSON object a line.
    #[arg(long, env = "PEERAGE_JSON", value_parser = FalseyValueParser::new())]
    pub(crate) json: bool,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "expected a number from 1".to_owned())
}

/// [`api::Sort`] as a flag's value.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(crate) enum Sort {
    /// Best match, then most sources.
    #[default]
    Rank,
    /// Largest first.
    Size,
    /// By name.
    Name,
    /// Last changed first.
    Newest,
}

impl From<Sort> for api::Sort {
    fn from(sort: Sort) -> Self {
        match sort {
            Sort::Rank => api::Sort::Rank,
            Sort::Size => api::Sort::Size,
            Sort::Name => api::Sort::Name,
            Sort::Newest => api::Sort::Newest,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) index: IndexUrl,
    /// Only what this peer has, by name or id.
    #[arg(long, env = "PEERAGE_PEER", value_name = "PEER")]
    pub(crate) peer: Option<String>,
    /// One JSON object a line.
    #[arg(long, env = "PEERAGE_JSON", value_parser = FalseyValueParser::new())]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// A content hash, a `peerage:` link, PEER/share/path of a file or folder, or words that find one file.
    #[arg(required_unless_present_any = ["resume", "queue", "forget"], value_name = "WHAT")]
    pub(crate) what: Vec<String>,
    #[command(flatten)]
    pub(crate) index: IndexUrl,
    /// The folder to put it in; made where missing.
    #[arg(short, long, env = "PEERAGE_OUTPUT", value_name = "DIR", default_value = "downloads")]
    pub(crate) output: PathBuf,
    /// Replace a file that is there instead of adding ` (2)` to the name.
    #[arg(long, env = "PEERAGE_OVERWRITE", value_parser = FalseyValueParser::new())]
    pub(crate) overwrite: bool,
    /// This peer's name for people, for as long as a long download makes it a source for others.
    #[arg(long, env = "PEERAGE_NAME", value_name = "NAME")]
    pub(crate) name: Option<PeerName>,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    /// Fetch as well what earlier commands left: interrupted, or out of reach.
    #[arg(long, env = "PEERAGE_RESUME", value_parser = FalseyValueParser::new())]
    pub(crate) resume: bool,
    /// Show what is left, and fetch nothing.
    #[arg(long, env = "PEERAGE_QUEUE", value_parser = FalseyValueParser::new(), conflicts_with_all = ["what", "resume", "forget"])]
    pub(crate) queue: bool,
    /// Forget what is left: WHAT as `--queue` shows it, or everything; what was fetched stays.
    #[arg(long, env = "PEERAGE_FORGET", value_parser = FalseyValueParser::new(), conflicts_with = "resume")]
    pub(crate) forget: bool,
    /// One JSON object a line.
    #[arg(long, env = "PEERAGE_JSON", value_parser = FalseyValueParser::new())]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PeersArgs {
    #[command(flatten)]
    pub(crate) index: IndexUrl,
    /// One JSON object a line.
    #[arg(long, env = "PEERAGE_JSON", value_parser = FalseyValueParser::new())]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ShellArgs {
    #[command(flatten)]
    pub(crate) index: IndexUrl,
    #[command(flatten)]
    pub(crate) peer: PeerArgs,
    /// The folder downloads go to; made where missing.
    #[arg(short, long, env = "PEERAGE_OUTPUT", value_name = "DIR", default_value = "downloads")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// The folder to share (default: the folder this program was built from, or the current one).
    #[arg(value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// End after the job instead of staying up until Ctrl-C.
    #[arg(long, env = "PEERAGE_ONCE", value_parser = FalseyValueParser::new())]
    pub(crate) once: bool,
}
