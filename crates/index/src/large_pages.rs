//! Large pages of memory. A search reads here and there in gigabytes, and with pages of 4 KiB it waits for the table of
//! pages as long as for what it reads: with pages of 2 MiB searches take a quarter less time.
//!
//! Linux gives them to who asks, and of the programs that hold an index the allocator has to: jemalloc does where its
//! settings say so, which it reads when a program begins. Programs that hold none do without, since for them large pages
//! would only be memory that is not used.

/// Where jemalloc looks for its settings.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
const SETTINGS: &str = "_RJEM_MALLOC_CONF";
/// And, where jemalloc can have them, threads that give back to the system what is free for some seconds, also where nobody
/// asks for memory meanwhile: a large merge asks for gigabytes, and then for nothing for a minute.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
const WANTED: &str =
    if cfg!(target_env = "gnu") { "thp:always,background_thread:true" } else { "thp:always" };

/// Begins this program anew, in the same process, with large pages: for the first step of a program that is going to hold
/// an index and whose allocator is jemalloc. Returns where the settings are made already, where the program can't be begun
/// anew, and on systems for which there is nothing to ask. A pipe that breaks may end the program from then on, unless it
/// sees to the signal (see [`exec`](std::os::unix::process::CommandExt::exec)).
pub fn begin_anew() {
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    if std::env::var_os(SETTINGS).is_none()
        && let (Ok(program), Some(name)) = (std::env::current_exe(), std::env::args_os().next())
        && program.file_name() == std::path::Path::new(&name).file_name()
    {
        use std::os::unix::process::CommandExt;
        let mut command = std::process::Command::new(program);
        command.arg0(name).args(std::env::args_os().skip(1)).env(SETTINGS, WANTED);
        let _ = command.exec(); // comes back only where it fails, and then all goes on as it is
    }
}
