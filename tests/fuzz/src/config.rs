//! Configuration text: read or refused with places, never a panic; what is refused says why.

use foreshadow_proxy::config::{self, Source};

/// Reads bytes as a configuration.
pub fn fuzz(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // A file that the text names is read: not from here.
    if text.contains("filename") || text.contains("path_config_source") || text.contains("pathConfigSource") {
        return;
    }
    if let Err(problems) = config::load(&Source::text(text)) {
        assert!(!problems.to_string().is_empty(), "refused without a word");
    }
    // The endpoint file's reader, too.
    let _ = config::parse_eds_text("fuzz", text, "service");
}
