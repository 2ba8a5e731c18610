//! Starting and ending one process with its group. Called by `local::launch`.
//!
//! Promises: a child leads a process group of its own; it has joined its control group before the first instruction of the application;
//! when it ends, the rest of its group is killed and the end is told to whoever waits.

use rustix::process::{Pid, Signal, kill_process_group};
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

/// Joins control groups (by writing its own id), then becomes the command.
const JOIN_AND_RUN: &str = r#"line=$1; shift; for file; do echo $$ >"$file"; done; set --; eval "$line""#;

/// The application's command: run by the shell, in the given environment.
pub fn application(command: &str, env: &BTreeMap<String, String>, entrances: impl Iterator<Item = PathBuf>) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", JOIN_AND_RUN, "sh", &shell_line(command)]).args(entrances).envs(env);
    shell
}

/// `exec COMMAND` where the shell can be replaced, so that the process started *is* the application: it gets signals, and its id is the one
/// to read figures from. A command of several parts runs under the shell.
fn shell_line(command: &str) -> String {
    let command = command.trim();
    let first = command.split_whitespace().next().unwrap_or_default();
    let words = [
        "cd", "exec", "exit", "export", "eval", "if", "for", "while", "until", "case", "set", "ulimit", "umask", "unset", "trap", ".", ":",
        "!",
    ];
    let bare = without_quoted(command);
    // `${PORT}` is as simple as `$PORT`.
    let braces = bare.matches('{').count() == bare.matches("${").count() && bare.matches('}').count() == bare.matches("${").count();
    let escaped = command.contains("\\\"") || command.contains("\\'");
    let simple =
        braces && !escaped && !bare.contains([';', '&', '|', '(', ')', '\n', '`']) && !first.contains('=') && !words.contains(&first);
    if simple { format!("exec {command}") } else { command.to_owned() }
}

/// What stands outside quotes. Escaped quotes are not understood; the caller looks for them.
fn without_quoted(command: &str) -> String {
    let mut quote = None;
    let outside = |c: &char| match (quote, *c) {
        (None, '\'' | '"') => {
            quote = Some(*c);
            false
        }
        (Some(open), c) => {
            quote = (c != open).then_some(open);
            false
        }
        (None, _) => true,
    };
    command.chars().filter(outside).collect()
}

/// A process that was started: leader of its group.
#[derive(Debug)]
pub struct Process {
    /// Its id.
    pub pid: u32,
}

impl Process {
    /// Starts it, output to `log`. Returns it and what ends with it.
    pub fn start(mut command: Command, log: &Path) -> std::io::Result<(Self, Child)> {
        let (out, err) = (super::files::open_log(log)?, super::files::open_log(log)?);
        command.process_group(0).stdin(Stdio::null()).stdout(out).stderr(err);
        let child = tokio::process::Command::from(command).kill_on_drop(false).spawn()?;
        let pid = child.id().ok_or_else(|| std::io::Error::other("it has ended already"))?;
        Ok((Self { pid }, Child { child, pid }))
    }

    /// Signals the whole group.
    pub fn signal(&self, signal: Signal) {
        signal_group(self.pid, signal);
    }
}

fn signal_group(leader: u32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(leader.cast_signed()) {
        // Gone meanwhile is as good.
        let _ = kill_process_group(pid, signal);
    }
}

/// The end of a process, to be waited for.
#[derive(Debug)]
pub struct Child {
    child: tokio::process::Child,
    pid: u32,
}

impl Child {
    /// Waits for the leader, kills what is left of its group, and says how it ended. A group's id stays taken while it has members, so
    /// this cannot hit somebody else's.
    pub async fn end(mut self) -> String {
        let how = match self.child.wait().await {
            Ok(status) => describe(status),
            Err(e) => format!("cannot be waited for: {e}"),
        };
        signal_group(self.pid, Signal::KILL);
        how
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with status {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// A port that is free now. Somebody may take it before the instance does; that start then fails and the next gets another one.
pub fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// A program given by name: beside this program first, then left to `PATH`.
pub fn resolve(program: &str) -> PathBuf {
    let beside = || {
        let path = std::env::current_exe().ok()?.parent()?.join(program);
        path.is_file().then_some(path)
    };
    if program.contains('/') { program.into() } else { beside().unwrap_or_else(|| program.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simple_command_replaces_the_shell_and_others_run_under_it() {
        for (command, simple) in [
            ("foreshadow-app --port $PORT", true),
            ("  python3 -m http.server \"$PORT\" ", true),
            ("app --port ${PORT}", true),
            ("cd /srv && exec app", false),
            ("A=1 app $PORT", false),
            ("app $PORT; true", false),
            ("{ app $PORT\n}", false),
            ("exec app", false),
            ("app $(cat file)", false),
            ("node -e 'serve(); wait()' \"a;b\"", true),
            ("echo 'a' ; app", false),
        ] {
            assert_eq!(shell_line(command).starts_with("exec ") && !command.starts_with("exec"), simple, "{command}");
        }
    }

    #[tokio::test]
    async fn the_process_is_the_application_and_takes_its_group_along() {
        let dir = tempfile::tempdir().unwrap();
        let (log, joined) = (dir.path().join("log"), dir.path().join("cgroup.procs"));
        let env = BTreeMap::from([("PORT".to_owned(), "4242".to_owned())]);
        let command = application("sh -c 'echo $$ $PORT $#; sleep 1000 & echo $! ; exit 3'", &env, std::iter::once(joined.clone()));
        let (process, child) = Process::start(command, &log).unwrap();
        assert_eq!(child.end().await, "ended with status 3");
        let text = std::fs::read_to_string(&log).unwrap();
        let (first, second) = text.trim().split_once('\n').unwrap();
        assert_eq!(first, format!("{} 4242 0", process.pid));
        assert_eq!(std::fs::read_to_string(joined).unwrap().trim(), process.pid.to_string());
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
        let living = || std::fs::read_to_string(format!("/proc/{second}/stat")).is_ok_and(|s| !s.contains(") Z "));
        while living() {
            assert!(tokio::time::Instant::now() < deadline, "its child outlives it");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
}
