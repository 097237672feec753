//! What each file of `src/` names of the others: all paths that begin with `crate`, `self` or `super`, with what parents
//! hand on by `use` traced to where it stands. Test code is left out.

use std::collections::{BTreeMap, BTreeSet};

use super::code::{Source, is_word};

pub(super) type Module = Vec<String>;

/// Which module names which, by the file that each is.
pub(super) struct Arrows {
    pub modules: BTreeSet<Module>,
    pub arrows: Vec<(Module, Module)>,
}

/// What one file says.
struct Named {
    module: Module,
    paths: Vec<Module>,
    /// What is in scope by `use`, and where it comes from.
    uses: BTreeMap<String, Module>,
}

impl Arrows {
    pub(super) fn of(sources: &[Source]) -> Self {
        let of_the_crate = sources.iter().filter(|source| !source.is_test() && source.file != "src/main.rs");
        let named: Vec<Named> = of_the_crate.map(Named::read).collect();
        let modules: BTreeSet<Module> = named.iter().map(|named| named.module.clone()).collect();
        let uses: BTreeMap<&Module, &BTreeMap<String, Module>> =
            named.iter().map(|named| (&named.module, &named.uses)).collect();
        let mut arrows = Vec::new();
        for Named { module, paths, .. } in &named {
            for path in paths {
                let to = resolve(path, &modules, &uses, 0);
                if to != *module && !to.is_empty() {
                    arrows.push((module.clone(), to));
                }
            }
        }
        Self { modules, arrows }
    }
}

/// The file that holds the named item.
fn resolve(
    path: &[String],
    modules: &BTreeSet<Module>,
    uses: &BTreeMap<&Module, &BTreeMap<String, Module>>,
    deep: usize,
) -> Module {
    let length = (0..=path.len()).rev().find(|length| modules.contains(&path[..*length])).unwrap_or(0);
    let (module, rest) = (path[..length].to_vec(), &path[length..]);
    let handed_on = rest.first().and_then(|name| uses.get(&module)?.get(name));
    match handed_on {
        Some(from) if deep < 8 && !from.starts_with(path) => {
            let path: Module = from.iter().chain(&rest[1..]).cloned().collect();
            resolve(&path, modules, uses, deep + 1)
        }
        _ => module,
    }
}

impl Named {
    fn read(source: &Source) -> Self {
        let code = source.bare();
        let words = words(&code);
        let children = words.windows(3).filter(|three| three[0] == "mod" && three[2] == ";").map(|three| three[1]);
        let (children, named) = (children.collect(), Self::new(source.module()));
        let mut reader = Reader { words, at: 0, named, inline: Vec::new(), children };
        reader.read();
        reader.named
    }

    fn new(module: Module) -> Self {
        Self { module, paths: Vec::new(), uses: BTreeMap::new() }
    }
}

/// Names, `::`, and all else by single signs.
fn words(code: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if is_word(first) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        words.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    words
}

struct Reader<'a> {
    words: Vec<&'a str>,
    at: usize,
    named: Named,
    /// Modules within the file that are open here: their names, and how many braces were open before.
    inline: Vec<(String, usize)>,
    /// The modules that it declares: a path of `use` may begin with them.
    children: BTreeSet<&'a str>,
}

impl Reader<'_> {
    fn read(&mut self) {
        let (mut depth, mut in_use) = (0, false);
        while self.at < self.words.len() {
            if self.is_next(&["#", "[", "cfg", "(", "test", ")", "]"]) {
                self.skip_item();
                continue;
            }
            let before = self.at.checked_sub(1).map_or("", |before| self.words[before]);
            match self.words[self.at] {
                "{" => depth += 1,
                "}" => {
                    depth -= 1;
                    self.inline.pop_if(|(_, opened)| *opened == depth);
                }
                "mod" if self.words.get(self.at + 2) == Some(&"{") => {
                    self.inline.push((self.words[self.at + 1].to_owned(), depth));
                }
                "use" => in_use = true,
                ";" => in_use = false,
                child if before == "use" && self.children.contains(child) => {
                    self.tree(&[], true);
                    continue;
                }
                "crate" | "self" | "super" if before != "::" && self.words.get(self.at + 1) == Some(&"::") => {
                    self.tree(&[], in_use);
                    continue;
                }
                _ => {}
            }
            self.at += 1;
        }
    }

    fn is_next(&self, words: &[&str]) -> bool {
        self.words[self.at..].starts_with(words)
    }

    /// Past the item that follows an attribute.
    fn skip_item(&mut self) {
        let mut depth = 0;
        while let Some(word) = self.words.get(self.at) {
            self.at += 1;
            match *word {
                "{" | "(" | "[" => depth += 1,
                "}" | ")" | "]" => {
                    depth -= 1;
                    if depth == 0 && *word == "}" {
                        return;
                    }
                }
                ";" if depth == 0 => return,
                _ => {}
            }
        }
    }

    /// A path, or a tree of them as `use` has it.
    fn tree(&mut self, prefix: &[String], in_use: bool) {
        let mut path = prefix.to_vec();
        loop {
            match self.words.get(self.at).copied() {
                Some("{") => {
                    self.at += 1;
                    while !self.is_next(&["}"]) && self.at < self.words.len() {
                        self.tree(&path, in_use);
                        if self.is_next(&[","]) {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    return;
                }
                Some(word) if word == "*" || word.chars().all(is_word) => path.push(word.to_owned()),
                _ => break,
            }
            self.at += 1;
            if !self.is_next(&["::"]) || self.words.get(self.at + 1) == Some(&"<") {
                break;
            }
            self.at += 1;
        }
        let is_renamed = in_use && self.is_next(&["as"]);
        let alias = if is_renamed { self.words.get(self.at + 1).copied().unwrap_or_default() } else { "" };
        self.at += if is_renamed { 2 } else { 0 };
        self.note(&path, alias, in_use);
    }

    fn note(&mut self, path: &[String], alias: &str, in_use: bool) {
        let here: Module = self.named.module.iter().chain(self.inline.iter().map(|(name, _)| name)).cloned().collect();
        let mut absolute = here;
        for word in path {
            match word.as_str() {
                "crate" => absolute.clear(),
                "self" | "*" => {}
                "super" => drop(absolute.pop()),
                name => absolute.push(name.to_owned()),
            }
        }
        if in_use && self.inline.is_empty() {
            let name = if alias.is_empty() { path.last().cloned().unwrap_or_default() } else { alias.to_owned() };
            self.named.uses.insert(name, absolute.clone());
        }
        self.named.paths.push(absolute);
    }
}

#[test]
fn trees_of_use_are_taken_apart() {
    let text = "use crate::a::{b, c::{self, D}};\n#[cfg(test)]\nmod tests { use super::x; }\nfn f() { super::g::<T>(crate::h) }";
    let source = Source { file: "src/room/file.rs".to_owned(), text: text.to_owned() };
    let named = Named::read(&source);
    let paths: Vec<String> = named.paths.iter().map(|path| path.join("::")).collect();
    assert_eq!(paths, ["a::b", "a::c", "a::c::D", "room::g", "h"]);
}
