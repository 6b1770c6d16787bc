//! What benchmarks share: pages of docs/ of which each writes a part, and the words it is called with.

use std::path::{Path, PathBuf};

/// The folder docs/.
pub fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

/// Replaces what stands between two markers of the page.
pub fn rewrite(page: &Path, begin: &str, end: &str, measured: &str) -> Result<(), String> {
    let describe = |e: std::io::Error| format!("{}: {e}", page.display());
    let text = std::fs::read_to_string(page).map_err(describe)?;
    let place = text.split_once(begin).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(end)?;
        Some((before, after))
    });
    let Some((before, after)) = place else {
        return Err(format!("{}: the markers are missing", page.display()));
    };
    std::fs::write(page, format!("{before}{begin}{measured}{end}{after}")).map_err(describe)
}

/// The number behind an option.
#[allow(dead_code, reason = "not every benchmark reads its options this way")]
pub fn number(option: &str, words: &mut impl Iterator<Item = String>) -> Result<u64, String> {
    let text = words.next().ok_or(format!("{option} needs a number"))?;
    text.parse().map_err(|e| format!("{option} {text}: {e}"))
}
