//! Pages of docs/ of which a benchmark writes a part.

use std::path::{Path, PathBuf};

/// The folder docs/.
pub fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
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
