//! The floors of the crate keep to themselves: each imports only those below it, the mathematics has no word of
//! the server, and `unsafe` stays where its arguments are.
//!
//! The source files are read as words, strings and comments, and a rule is a function from a file to complaints.
//! The second half of this file shows that every rule can fail, on small bad samples.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A folder of src/ and what it may import.
struct Floor {
    name: &'static str,
    below: &'static [&'static str],
    /// Mathematics: no word of the server, and no two files that import each other.
    pure: bool,
}

const FLOORS: [Floor; 8] = [
    Floor {
        name: "sketch",
        below: &[],
        pure: true,
    },
    Floor {
        name: "cube",
        below: &["sketch"],
        pure: true,
    },
    Floor {
        name: "monitor",
        below: &["sketch"],
        pure: true,
    },
    Floor {
        name: "storage",
        below: &["monitor", "cube", "sketch"],
        pure: false,
    },
    Floor {
        name: "cluster",
        below: &[],
        pure: false,
    },
    Floor {
        name: "server",
        below: &[],
        pure: false,
    },
    Floor {
        name: "types",
        below: &["server", "storage", "monitor", "cube", "sketch"],
        pure: false,
    },
    Floor {
        name: "commands",
        below: &[
            "types", "server", "cluster", "storage", "monitor", "cube", "sketch",
        ],
        pure: false,
    },
];

/// Macros that `#[macro_export]` puts at the crate's root, and the floor they belong to.
const EXPORTED_MACROS: [(&str, &str); 1] = [("syntax", "server")];

/// The module API and what stands beside it.
const API_CRATES: [&str; 2] = ["redis_module", "libc"];

/// Words of the server, in lower case, that a pure floor does without: in code, texts and comments.
const WORDS_OF_THE_SERVER: [&str; 23] = [
    "redis", "valkey", "server", "servers", "client", "clients", "command", "commands", "reply",
    "replies", "setting", "settings", "key", "keys", "argv", "rdb", "aof", "acl", "pf", "pfadd",
    "pfcount", "pfmerge", "pfdebug",
];

/// Words that pure floors may say nevertheless: file, word, reason.
const ALLOWED: [(&str, &str, &str); 8] = [
    (
        "cube/column.rs",
        "key",
        "a method of the twin's map asks for one",
    ),
    (
        "cube/intern.rs",
        "key",
        "a method of the twin's map asks for one",
    ),
    (
        "sketch/hash/mod.rs",
        "redis",
        "a hash family is named after the program whose it is",
    ),
    (
        "sketch/hash/mod.rs",
        "pfadd",
        "what that program hashes with, and the test vectors made with it",
    ),
    (
        "sketch/hash/mod.rs",
        "pf",
        "where the test vectors of that family were read",
    ),
    (
        "sketch/hash/mod.rs",
        "key",
        "where the test vectors of that family were read",
    ),
    (
        "sketch/hash/mod.rs",
        "keys",
        "where the test vectors of that family were read",
    ),
    ("sketch/hash/murmur.rs", "redis", "the seed of that family"),
];

/// Words of the values, in lower case, that the server's floor does without in code and texts. Its comments may
/// take them for examples.
const WORDS_OF_VALUES: [&str; 9] = [
    "sketch",
    "sketches",
    "precision",
    "hyperloglog",
    "cardinality",
    "dense",
    "sparse",
    "pf",
    "pfadd",
];

/// Where `unsafe` may be, as beginnings of paths.
const UNSAFE: [&str; 3] = ["server/", "sketch/kernels.rs", "lib.rs"];

// ---------------------------------------------------------------------------------------------------------
// Reading a file

#[derive(Clone, Debug, PartialEq)]
enum Token {
    /// An identifier, a keyword or a number.
    Word(String),
    /// What stands in a literal between quotation marks.
    Text(String),
    Mark(char),
}

/// A source file: its path below src/, its tokens and its comments, each with its line.
struct Source {
    path: String,
    tokens: Vec<(usize, Token)>,
    comments: Vec<(usize, String)>,
}

impl Source {
    fn parse(path: &str, text: &str) -> Source {
        let mut source = Source {
            path: path.to_owned(),
            tokens: vec![],
            comments: vec![],
        };
        let chars: Vec<char> = text.chars().collect();
        let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
        let (mut i, mut line) = (0, 1);
        while i < chars.len() {
            let begin = i;
            if at(i) == '/' && at(i + 1) == '/' {
                while i < chars.len() && at(i) != '\n' {
                    i += 1;
                }
                source
                    .comments
                    .push((line, chars[begin..i].iter().collect()));
            } else if at(i) == '/' && at(i + 1) == '*' {
                let mut depth = 0;
                loop {
                    match (at(i), at(i + 1)) {
                        ('/', '*') => (depth, i) = (depth + 1, i + 2),
                        ('*', '/') => (depth, i) = (depth - 1, i + 2),
                        _ => i += 1,
                    }
                    if depth == 0 || i >= chars.len() {
                        break;
                    }
                }
                source
                    .comments
                    .push((line, chars[begin..i].iter().collect()));
            } else if let Some(end) = literal(&chars, i) {
                source
                    .tokens
                    .push((line, Token::Text(chars[i..end].iter().collect())));
                i = end;
            } else if at(i).is_alphanumeric() || at(i) == '_' {
                while at(i).is_alphanumeric() || at(i) == '_' {
                    i += 1;
                }
                source
                    .tokens
                    .push((line, Token::Word(chars[begin..i].iter().collect())));
            } else {
                if !at(i).is_whitespace() {
                    source.tokens.push((line, Token::Mark(at(i))));
                }
                i += 1;
            }
            line += chars[begin..i].iter().filter(|&&c| c == '\n').count();
        }
        source
    }

    fn word(&self, i: usize) -> Option<&str> {
        match self.tokens.get(i) {
            Some((_, Token::Word(word))) => Some(word),
            _ => None,
        }
    }

    fn is(&self, i: usize, mark: char) -> bool {
        matches!(self.tokens.get(i), Some((_, Token::Mark(m))) if *m == mark)
    }

    fn is_path_sign(&self, i: usize) -> bool {
        self.is(i, ':') && self.is(i + 1, ':')
    }

    /// The module that the file is: `sketch/joint/mod.rs` is `sketch::joint`.
    fn module(&self) -> Vec<String> {
        let path = self.path.trim_end_matches(".rs");
        let path = path.strip_suffix("/mod").unwrap_or(path);
        match path {
            "lib" => vec![],
            path => path.split('/').map(str::to_owned).collect(),
        }
    }

    fn floor(&self) -> Option<&'static Floor> {
        let name = self.path.split_once('/')?.0;
        FLOORS.iter().find(|floor| floor.name == name)
    }

    fn complaint(&self, line: usize, what: impl std::fmt::Display) -> String {
        format!("src/{}:{line}: {what}", self.path)
    }
}

/// The end of the string or character literal that begins here. A lifetime is none.
fn literal(chars: &[char], begin: usize) -> Option<usize> {
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut i = begin;
    if begin > 0 && (at(begin - 1).is_alphanumeric() || at(begin - 1) == '_') {
        return None;
    }
    if matches!(at(i), 'b' | 'c') {
        i += 1;
    }
    let raw = at(i) == 'r' && matches!(at(i + 1), '"' | '#');
    if raw {
        i += 1;
        let hashes = chars[i..].iter().take_while(|&&c| c == '#').count();
        i += hashes;
        if at(i) != '"' {
            return None;
        }
        i += 1;
        while i < chars.len() {
            let closes = at(i) == '"' && (1..=hashes).all(|k| at(i + k) == '#');
            i += 1;
            if closes {
                return Some(i + hashes);
            }
        }
        return Some(i);
    }
    let quote = at(i);
    if quote == '\'' && at(i + 1) != '\\' && at(i + 2) != '\'' || !matches!(quote, '"' | '\'') {
        return None;
    }
    i += 1;
    while i < chars.len() && at(i) != quote {
        i += if at(i) == '\\' { 2 } else { 1 };
    }
    Some(i + 1)
}

/// The words of a name or a sentence, in lower case: `HashFamily::of_redis` is hash, family, of, redis.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for c in text.chars() {
        let begins = c.is_uppercase() && before.is_lowercase();
        if begins || !c.is_alphabetic() {
            words.push(String::new());
        }
        if c.is_alphabetic() {
            words
                .last_mut()
                .expect("there is one")
                .extend(c.to_lowercase());
        }
        before = c;
    }
    words.retain(|word| !word.is_empty());
    words
}

// ---------------------------------------------------------------------------------------------------------
// Imports

/// A path that a file names, from the crate's root; or from another crate, if `foreign`.
#[derive(Debug, PartialEq)]
struct Import {
    line: usize,
    path: Vec<String>,
    foreign: bool,
    in_tests: bool,
    /// `pub use`: who imports it from here, means it there.
    exported: bool,
}

/// All modules of these files.
fn modules(sources: &[Source]) -> BTreeSet<Vec<String>> {
    sources.iter().map(Source::module).collect()
}

/// The imports of a file: its `use` declarations, and the paths it writes out.
fn imports(source: &Source, modules: &BTreeSet<Vec<String>>) -> Vec<Import> {
    let mut found = vec![];
    // The modules around the place at hand, and at which depth of braces each began.
    let mut module = source.module();
    let mut inline: Vec<(usize, bool)> = vec![];
    let mut depth = 0;
    let test_file = source.path.ends_with("tests.rs");
    let mut i = 0;
    while i < source.tokens.len() {
        let line = source.tokens[i].0;
        let in_tests = test_file || inline.iter().any(|&(_, test)| test);
        let mut note = |path: &[String], exported: bool| {
            if let Some((path, foreign)) = resolve(path, &module, modules) {
                found.push(Import {
                    line,
                    path,
                    foreign,
                    in_tests,
                    exported,
                });
            }
        };
        match source.word(i) {
            Some("mod") if source.is(i + 2, '{') => {
                inline.push((depth, is_for_tests(source, i)));
                module.push(source.word(i + 1).unwrap_or_default().to_owned());
                depth += 1;
                i += 3;
                continue;
            }
            Some("use") => {
                let exported =
                    i > 0 && (matches!(source.word(i - 1), Some("pub")) || source.is(i - 1, ')'));
                let mut paths = vec![];
                i = use_tree(source, i + 1, &[], &mut paths);
                for path in paths {
                    note(&path, exported);
                }
                continue;
            }
            Some(_) if source.is_path_sign(i + 1) && !(i > 1 && source.is_path_sign(i - 2)) => {
                let mut path = vec![];
                while let Some(word) = source.word(i) {
                    path.push(word.to_owned());
                    if !source.is_path_sign(i + 1) {
                        break;
                    }
                    i += 3;
                }
                note(&path, false);
            }
            _ if source.is(i, '{') => depth += 1,
            _ if source.is(i, '}') => {
                depth -= 1;
                if inline.last().is_some_and(|&(began, _)| began == depth) {
                    inline.pop();
                    module.pop();
                }
            }
            _ => {}
        }
        i += 1;
    }
    found
}

/// Whether `#[cfg(test)]` stands before the `mod` at this place.
fn is_for_tests(source: &Source, at: usize) -> bool {
    let attribute = Source::parse("", "#[cfg(test)]").tokens;
    let same = |begin: usize| {
        let there = source.tokens[begin..].iter().map(|(_, token)| token);
        there.zip(&attribute).all(|(a, (_, b))| a == b)
    };
    // `pub(super)` may stand between them.
    (at.saturating_sub(attribute.len() + 4)..=at.saturating_sub(attribute.len())).any(same)
}

/// Reads a `use` tree that begins at a token, and returns the place behind it.
fn use_tree(
    source: &Source,
    mut i: usize,
    before: &[String],
    paths: &mut Vec<Vec<String>>,
) -> usize {
    let mut path = before.to_vec();
    loop {
        if let Some(word) = source.word(i) {
            path.push(word.to_owned());
            i += 1;
        } else if source.is(i, '*') {
            i += 1;
        } else if source.is(i, '{') {
            i += 1;
            while !source.is(i, '}') && i < source.tokens.len() {
                i = use_tree(source, i, &path, paths);
                if source.is(i, ',') {
                    i += 1;
                }
            }
            return i + 1;
        }
        if source.is_path_sign(i) {
            i += 2;
            continue;
        }
        if source.word(i) == Some("as") {
            i += 2;
        }
        paths.push(path);
        return i;
    }
}

/// The path from the crate's root, or from another crate. Nothing for what has been imported by a `use` before.
fn resolve(
    path: &[String],
    module: &[String],
    modules: &BTreeSet<Vec<String>>,
) -> Option<(Vec<String>, bool)> {
    let mut here = module.to_vec();
    let mut rest = path;
    match path.first()?.as_str() {
        "crate" => {
            here.clear();
            rest = &path[1..];
        }
        "self" => rest = &path[1..],
        "super" => {
            while rest.first().is_some_and(|word| word == "super") {
                here.pop();
                rest = &rest[1..];
            }
        }
        name if API_CRATES.contains(&name) => return Some((path.to_vec(), true)),
        name => {
            here.push(name.to_owned());
            if !modules.contains(&here) {
                return None;
            }
            rest = &path[1..];
        }
    }
    here.extend_from_slice(rest);
    Some((here, false))
}

// ---------------------------------------------------------------------------------------------------------
// Rules

/// Each floor imports only those below it.
fn imports_point_down(sources: &[Source]) -> Vec<String> {
    let modules = modules(sources);
    let mut complaints = vec![];
    for source in sources {
        let Some((folder, _)) = source.path.split_once('/') else {
            continue;
        };
        let Some(floor) = source.floor() else {
            complaints.push(source.complaint(
                1,
                format_args!("{folder}/ is no floor that tests/layers.rs knows"),
            ));
            continue;
        };
        for import in imports(source, &modules) {
            let Some(mut root) = import.path.first().map(String::as_str) else {
                continue;
            };
            if import.foreign {
                if floor.name != "server" && !import.in_tests && root == "redis_module" {
                    complaints
                        .push(source.complaint(import.line, "the module API belongs to server/"));
                }
                continue;
            }
            if let Some((_, home)) = EXPORTED_MACROS.iter().find(|(name, _)| *name == root) {
                root = home;
            }
            if root != floor.name && !floor.below.contains(&root) {
                complaints.push(source.complaint(
                    import.line,
                    format_args!("{} may not import {}", floor.name, import.path.join("::")),
                ));
            }
        }
    }
    complaints
}

/// The file of the pure floors that a path means, through `pub use`.
fn file_of(
    path: &[String],
    modules: &BTreeSet<Vec<String>>,
    exports: &BTreeMap<Vec<String>, Vec<String>>,
) -> Option<Vec<String>> {
    let longest = (0..=path.len())
        .rev()
        .find(|&n| modules.contains(&path[..n]))?;
    match path.get(..=longest).and_then(|item| exports.get(item)) {
        Some(origin) if origin != path => file_of(origin, modules, exports),
        _ => Some(path[..longest].to_vec()),
    }
}

/// Within a pure floor the files, tests aside, import each other in no circle.
fn no_circles(sources: &[Source]) -> Vec<String> {
    let modules = modules(sources);
    let pure = |source: &&Source| source.floor().is_some_and(|floor| floor.pure);
    let mut all = BTreeMap::new();
    let mut exports = BTreeMap::new();
    for source in sources.iter().filter(pure) {
        let mut of_file = imports(source, &modules);
        of_file.retain(|import| !import.in_tests && !import.foreign);
        for import in of_file.iter().filter(|import| import.exported) {
            let mut name = source.module();
            name.extend(import.path.last().cloned());
            exports.insert(name, import.path.clone());
        }
        all.insert(source.module(), of_file);
    }
    let mut edges: BTreeMap<&Vec<String>, BTreeSet<Vec<String>>> = BTreeMap::new();
    for (module, of_file) in &all {
        let files = of_file
            .iter()
            .filter_map(|import| file_of(&import.path, &modules, &exports));
        edges.insert(module, files.filter(|file| file != module).collect());
    }
    // What imports only files that are in no circle is in none either.
    loop {
        let done: BTreeSet<Vec<String>> = (edges.iter())
            .filter(|(_, files)| files.iter().all(|file| !edges.contains_key(file)))
            .map(|(module, _)| module.to_vec())
            .collect();
        if done.is_empty() {
            break;
        }
        edges.retain(|module, _| !done.contains(*module));
    }
    (edges.iter())
        .map(|(module, files)| {
            let files: Vec<String> = (files.iter().filter(|file| edges.contains_key(file)))
                .map(|file| file.join("::"))
                .collect();
            format!(
                "{} is in or above a circle: it imports {}",
                module.join("::"),
                files.join(", ")
            )
        })
        .collect()
}

/// Code, texts and comments of a file, line by line.
fn everything(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    code(source).chain(
        source
            .comments
            .iter()
            .map(|(line, text)| (*line, text.as_str())),
    )
}

/// Code and the texts in it.
fn code(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    source
        .tokens
        .iter()
        .filter_map(|(line, token)| match token {
            Token::Word(text) | Token::Text(text) => Some((*line, text.as_str())),
            Token::Mark(_) => None,
        })
}

/// Whether the text names a command or a setting of ours: `HLL.ADD`, `hll.hash-seed`.
fn names_command_or_setting(text: &str) -> bool {
    ["HLL.", "hll."].iter().any(|prefix| {
        text.match_indices(prefix).any(|(at, _)| {
            let before = text[..at].chars().next_back();
            let after = text[at + prefix.len()..].chars().next();
            !before.is_some_and(char::is_alphanumeric) && after.is_some_and(char::is_alphabetic)
        })
    })
}

/// A pure floor has no word of the server; returns the allowed words it met, too.
fn pure_floors_speak_mathematics(
    sources: &[Source],
) -> (Vec<String>, BTreeSet<(&'static str, &'static str)>) {
    let mut complaints = vec![];
    let mut met = BTreeSet::new();
    for source in sources
        .iter()
        .filter(|source| source.floor().is_some_and(|floor| floor.pure))
    {
        for (line, text) in everything(source) {
            // In capitals: the crate that makes random cases has a configuration too.
            let config = text
                .split(|c: char| !c.is_alphanumeric())
                .any(|word| word == "CONFIG");
            if names_command_or_setting(text) || config {
                complaints
                    .push(source.complaint(line, format_args!("a pure floor names {text:?}")));
            }
            // What the standard library sorts by is a key as well.
            let mut words = words(&text.replace("_by_key", ""));
            words.retain(|word| WORDS_OF_THE_SERVER.contains(&word.as_str()));
            for word in &words {
                match ALLOWED
                    .iter()
                    .find(|(path, allowed, _)| *path == source.path && allowed == word)
                {
                    Some((path, allowed, _)) => drop(met.insert((*path, *allowed))),
                    None => complaints
                        .push(source.complaint(line, format_args!("a pure floor says {word:?}"))),
                }
            }
        }
    }
    (complaints, met)
}

/// Errors of storage/ say what is wrong; which command or setting helps is said where they become replies.
fn storage_gives_no_advice(sources: &[Source]) -> Vec<String> {
    let storage = sources
        .iter()
        .filter(|source| source.path.starts_with("storage/"));
    storage
        .flat_map(|source| {
            everything(source)
                .filter(|(_, text)| names_command_or_setting(text))
                .map(|(line, text)| source.complaint(line, format_args!("storage names {text:?}")))
        })
        .collect()
}

/// The server's floor has never heard of what the values are.
fn server_knows_no_values(sources: &[Source]) -> Vec<String> {
    let server = sources
        .iter()
        .filter(|source| source.path.starts_with("server/"));
    server
        .flat_map(|source| {
            code(source).flat_map(move |(line, text)| {
                (words(text).into_iter())
                    .filter(|word| WORDS_OF_VALUES.contains(&word.as_str()))
                    .map(move |word| source.complaint(line, format_args!("server says {word:?}")))
            })
        })
        .collect()
}

/// `unsafe` is where its arguments are, and nowhere else.
fn unsafe_has_its_places(sources: &[Source]) -> Vec<String> {
    let elsewhere = (sources.iter())
        .filter(|source| !UNSAFE.iter().any(|place| source.path.starts_with(place)));
    elsewhere
        .flat_map(|source| {
            (source.tokens.iter())
                .filter(|(_, token)| *token == Token::Word("unsafe".to_owned()))
                .map(|(line, _)| source.complaint(*line, "unsafe"))
        })
        .collect()
}

/// What takes long is in tests/ or benches/: src/ has no test that is ignored.
fn nothing_is_ignored(sources: &[Source]) -> Vec<String> {
    let mut complaints = vec![];
    for source in sources {
        for i in 2..source.tokens.len() {
            if source.word(i) == Some("ignore") && source.is(i - 1, '[') && source.is(i - 2, '#') {
                complaints.push(source.complaint(source.tokens[i].0, "an ignored test"));
            }
        }
    }
    complaints
}

/// Among the commands unused code is an error, and nobody allows it: so a word that nobody handles does not compile.
fn commands_handle_every_word(sources: &[Source]) -> Vec<String> {
    let mut complaints = vec![];
    for source in sources {
        let mut denied = source.path != "commands/mod.rs";
        if !source.path.starts_with("commands/") {
            continue;
        }
        for i in 0..source.tokens.len() {
            if !source.is(i + 1, '(') || !matches!(source.word(i + 2), Some("dead_code" | "unused"))
            {
                continue;
            }
            match source.word(i) {
                Some("deny") => denied = true,
                level => complaints.push(source.complaint(
                    source.tokens[i].0,
                    format_args!("{} of unused code", level.unwrap_or_default()),
                )),
            }
        }
        if !denied {
            complaints.push(source.complaint(1, "does not deny unused code"));
        }
    }
    complaints
}

// ---------------------------------------------------------------------------------------------------------
// This crate

/// All files below src/.
fn crate_sources() -> Vec<Source> {
    fn collect(folder: &Path, root: &Path, sources: &mut Vec<Source>) {
        for entry in fs::read_dir(folder).expect("src/ can be read") {
            let path = entry.expect("src/ can be read").path();
            if path.is_dir() {
                collect(&path, root, sources);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path
                    .strip_prefix(root)
                    .expect("below src/")
                    .to_string_lossy()
                    .into_owned();
                let text = fs::read_to_string(&path).expect("a source file is text");
                sources.push(Source::parse(&name, &text));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = vec![];
    collect(&root, &root, &mut sources);
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

#[track_caller]
fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn each_floor_imports_only_those_below() {
    assert_none(&imports_point_down(&crate_sources()));
}

#[test]
fn the_files_of_pure_floors_import_each_other_in_no_circle() {
    assert_none(&no_circles(&crate_sources()));
}

#[test]
fn the_mathematics_has_no_word_of_the_server() {
    let sources = crate_sources();
    let (complaints, met) = pure_floors_speak_mathematics(&sources);
    assert_none(&complaints);
    for (path, word, reason) in ALLOWED {
        assert!(
            met.contains(&(path, word)),
            "{path} no longer says {word:?} ({reason}): the allowance can go"
        );
    }
}

#[test]
fn storage_gives_no_advice_about_commands_or_settings() {
    assert_none(&storage_gives_no_advice(&crate_sources()));
}

#[test]
fn the_server_floor_knows_no_sketch() {
    assert_none(&server_knows_no_values(&crate_sources()));
}

#[test]
fn unsafe_is_in_the_server_floor_and_the_kernels_only() {
    assert_none(&unsafe_has_its_places(&crate_sources()));
}

#[test]
fn a_word_that_no_command_handles_does_not_compile() {
    assert_none(&commands_handle_every_word(&crate_sources()));
}

#[test]
fn no_test_in_src_is_ignored() {
    assert_none(&nothing_is_ignored(&crate_sources()));
}

// ---------------------------------------------------------------------------------------------------------
// The rules can fail

#[cfg(test)]
mod samples {
    use super::*;

    fn crate_of(files: &[(&str, &str)]) -> Vec<Source> {
        files
            .iter()
            .map(|(path, text)| Source::parse(path, text))
            .collect()
    }

    /// The complaints of a rule about one file among the roots of all floors.
    fn about(rule: fn(&[Source]) -> Vec<String>, path: &str, text: &str) -> usize {
        let mut sources = crate_of(&[
            (
                "lib.rs",
                "mod sketch; mod storage; mod server; mod types; mod commands;",
            ),
            ("sketch/mod.rs", "pub mod dense; pub struct Sketch;"),
            ("storage/mod.rs", ""),
            ("server/mod.rs", ""),
            ("types/mod.rs", ""),
            ("commands/mod.rs", ""),
        ]);
        sources.retain(|source| source.path != path);
        sources.push(Source::parse(path, text));
        rule(&sources).len()
    }

    #[test]
    fn imports_that_point_up_are_found() {
        for (path, text) in [
            ("sketch/dense.rs", "use crate::storage::decode;"),
            ("sketch/dense.rs", "use super::super::storage::decode;"),
            ("sketch/dense.rs", "use crate::{sketch::Sketch, server};"),
            ("sketch/dense.rs", "fn f() { crate::server::log::warn() }"),
            (
                "sketch/dense.rs",
                "#[cfg(test)] mod tests { use super::super::super::types::T; }",
            ),
            (
                "sketch/dense.rs",
                "mod a { mod b {} fn f() { super::super::super::server::f() } }",
            ),
            ("storage/native.rs", "use crate::server::key::Key;"),
            ("storage/native.rs", "use crate::syntax;"),
            ("storage/native.rs", "use redis_module::raw;"),
            ("server/key.rs", "use crate::sketch::Sketch;"),
            ("server/key.rs", "use crate::storage;"),
            ("server/key.rs", "pub(crate) use crate::types::sketch as s;"),
            (
                "server/key.rs",
                "macro_rules! m { () => { $crate::commands::f() } }",
            ),
            ("types/sketch.rs", "use crate::commands::errors;"),
            ("commands/add.rs", "use redis_module::raw::RedisModuleCtx;"),
            ("cellar/mod.rs", ""),
        ] {
            assert_eq!(about(imports_point_down, path, text), 1, "{path}: {text}");
        }
    }

    #[test]
    fn imports_that_point_down_are_not() {
        for (path, text) in [
            (
                "sketch/dense.rs",
                "use super::{Sketch, dense}; use std::server::x; // use crate::server;",
            ),
            (
                "sketch/dense.rs",
                "#[cfg(test)] mod tests { use super::super::Sketch; }",
            ),
            (
                "sketch/dense.rs",
                "const TEXT: &str = \"crate::server::log\"; fn f<'a>(x: &'a u8) {}",
            ),
            (
                "storage/native.rs",
                "use crate::sketch::{Sketch, dense::Dense}; use ::types::x;",
            ),
            (
                "server/key.rs",
                "use crate::server::log; use redis_module::raw; use crate::syntax;",
            ),
            (
                "types/sketch.rs",
                "use crate::{server::key, sketch::Sketch, storage};",
            ),
            (
                "commands/add.rs",
                "use crate::{server::key, types, sketch::Sketch, storage, syntax}; use super::add;",
            ),
        ] {
            assert_eq!(about(imports_point_down, path, text), 0, "{path}: {text}");
        }
    }

    #[test]
    fn circles_are_found() {
        let root = (
            "sketch/mod.rs",
            "pub mod a; pub mod b; pub mod c; pub use a::A; pub struct Sketch;",
        );
        let circles = |a, b, c| {
            no_circles(&crate_of(&[
                root,
                ("sketch/a.rs", a),
                ("sketch/b.rs", b),
                ("sketch/c.rs", c),
            ]))
            .len()
        };
        assert_eq!(circles("use super::b::B;", "use super::c;", ""), 0);
        assert_eq!(
            circles(
                "use super::b::B;",
                "#[cfg(test)] mod tests { use super::super::a; }",
                ""
            ),
            0
        );
        assert_eq!(
            circles("", "use super::Sketch;", "use super::{A, Sketch};"),
            0
        );
        // Two files and three, and the root above them, which imports one.
        assert_eq!(circles("use super::b;", "use crate::sketch::a::A;", ""), 3);
        assert_eq!(
            circles(
                "use super::b::B;",
                "fn f() { super::c::g() }",
                "use super::a;"
            ),
            4
        );
        // Through what the root exports, and with the root itself.
        assert_eq!(circles("use super::b;", "use super::A;", ""), 3);
        assert_eq!(circles("use super::Sketch;", "", ""), 2);
    }

    #[test]
    fn words_of_the_server_are_found() {
        let rule = |sources: &[Source]| pure_floors_speak_mathematics(sources).0;
        for text in [
            "// See HLL.ADD.",
            "/* as /* hll.precision */ says */",
            "struct ReplyOf;",
            "fn read_key() {}",
            "/// What the client sent.",
            "const TEXT: &str = \"raise it by CONFIG SET\";",
            "const RAW: &CStr = cr#\"PFADD \"x\" \"#;",
            "extern crate redis_module;",
        ] {
            assert_ne!(about(rule, "sketch/dense.rs", text), 0, "{text}");
        }
        for text in [
            "// The server's: commands",
            "fn monkey() { keyboard() }",
            "const HLL: u8 = 1; // An HLL. And more.",
        ] {
            let expected = usize::from(text.contains("server")) * 2;
            assert_eq!(about(rule, "sketch/dense.rs", text), expected, "{text}");
        }
        assert_eq!(
            about(rule, "sketch/hash/mod.rs", "/// `redis`: that of PFADD."),
            0
        );
        assert_eq!(
            about(rule, "sketch/hash/mod.rs", "/// `redis`: a server."),
            1
        );
    }

    #[test]
    fn advice_is_found() {
        let advice = |text| about(storage_gives_no_advice, "storage/native.rs", text);
        assert_eq!(advice("const E: &str = \"use HLL.EXPORT\";"), 1);
        assert_eq!(advice("/// Like hll.rdb-compression."), 1);
        assert_eq!(
            advice("/// The server's default of hll-sparse-max-bytes, an HLL."),
            0
        );
    }

    #[test]
    fn words_of_values_are_found() {
        let about = |text| about(server_knows_no_values, "server/key.rs", text);
        assert_eq!(about("fn sketch_of() { panic!(\"no such precision\") }"), 2);
        assert_eq!(about("struct PfKey(SparseArray);"), 2);
        assert_eq!(about("/// A sketch, for example.\nfn value_of() {}"), 0);
    }

    #[test]
    fn unsafe_elsewhere_is_found() {
        for (path, text, expected) in [
            ("commands/add.rs", "unsafe { f() }", 1),
            ("types/sketch.rs", "unsafe impl Send for X {}", 1),
            ("sketch/dense.rs", "unsafe fn f() {}", 1),
            ("sketch/kernels.rs", "unsafe fn f() {}", 0),
            ("server/key.rs", "unsafe fn f() {}", 0),
            (
                "commands/add.rs",
                "#![deny(unsafe_code)] // unsafe\nconst A: &str = \"unsafe\";",
                0,
            ),
        ] {
            assert_eq!(
                about(unsafe_has_its_places, path, text),
                expected,
                "{path}: {text}"
            );
        }
    }

    #[test]
    fn unused_words_are_found() {
        let unused = |path, text| about(commands_handle_every_word, path, text);
        assert_eq!(unused("commands/mod.rs", "#![deny(dead_code)]"), 0);
        assert_eq!(unused("commands/mod.rs", "#![warn(dead_code)]"), 2);
        assert_eq!(unused("commands/mod.rs", ""), 1);
        // Beside the root in about(), which denies nothing.
        assert_eq!(
            unused("commands/add.rs", "#[allow(dead_code)] struct A;"),
            2
        );
        assert_eq!(unused("server/key.rs", "#[allow(dead_code)] struct A;"), 1);
    }

    #[test]
    fn ignored_tests_are_found() {
        let ignored = |text| about(nothing_is_ignored, "sketch/dense.rs", text);
        assert_eq!(ignored("#[test]\n#[ignore]\nfn f() {}"), 1);
        assert_eq!(ignored("#[ignore = \"takes a minute\"] fn f() {}"), 1);
        assert_eq!(ignored("// #[ignore]\nfn ignore() {}"), 0);
    }

    #[test]
    fn lines_are_counted() {
        let source = Source::parse(
            "sketch/a.rs",
            "/* 1\n2 */ 'x' \"a\nb\" '\\'' x::<'_>\n// end",
        );
        let lines: Vec<usize> = source.tokens.iter().map(|(line, _)| *line).collect();
        assert_eq!(
            (lines[0], lines[1], lines[2], source.comments[1].0),
            (2, 2, 3, 4)
        );
    }
}
