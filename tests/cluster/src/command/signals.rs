//! Ctrl-C and SIGTERM: first everything that was started ends, then this process does.

use crate::error::{Result, Tried as _};
use tokio::signal::unix::{SignalKind, signal};

/// From now on a signal ends everything in order.
pub fn watch() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().tried(|| "no runtime".into())?;
    let (mut interrupt, mut terminate) = {
        let _entered = runtime.enter();
        let both = signal(SignalKind::interrupt()).and_then(|i| Ok((i, signal(SignalKind::terminate())?)));
        both.tried(|| "cannot watch for signals".into())?
    };
    std::thread::spawn(move || {
        let code = runtime.block_on(async {
            tokio::select! { _ = interrupt.recv() => 130, _ = terminate.recv() => 143 }
        });
        eprintln!("test-cluster: ending everything");
        crate::guard::end_all();
        std::process::exit(code);
    });
    Ok(())
}

/// Waits for a signal, which ends the process.
pub fn wait() -> ! {
    loop {
        std::thread::park();
    }
}
