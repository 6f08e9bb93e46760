//! Which file of a crate refers to which other file, read from its syntax.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};
use syn::{Attribute, ImplItemFn, Item, ItemMod, ItemUse, Macro, UseTree, Visibility};

type Path = Vec<String>;

/// The references between the files of one crate.
pub struct Graph {
    /// Each module with the file that contains it; inline modules are in the file of their parent.
    modules: BTreeMap<Path, String>,
    /// What a name that a module imports stands for.
    imports: BTreeMap<(Path, String), Path>,
    /// For each pair of files: one of the paths by which the first refers to the second.
    references: BTreeMap<(String, String), String>,
}

impl Graph {
    /// Reads the files of a crate: their names below the source directory, and their text. Code of tests does not count, and
    /// neither does a parent that only declares a module.
    pub fn new(files: &[(String, String)]) -> Self {
        let mut modules = BTreeMap::new();
        let mut readers = Vec::new();
        for (file, text) in files {
            let mut reader = Reader { module: module(file), ..Reader::default() };
            let syntax = syn::parse_file(text).unwrap_or_else(|e| panic!("{file}: {e}"));
            modules.insert(reader.module.clone(), file.clone());
            reader.visit_file(&syntax);
            modules.extend(reader.inline.iter().map(|module| (module.clone(), file.clone())));
            readers.push((file, reader));
        }
        let mut graph = Self { modules, imports: BTreeMap::new(), references: BTreeMap::new() };
        for (_, reader) in &readers {
            for (module, name, path) in &reader.uses {
                if let Some(path) = graph.absolute(module, path) {
                    graph.imports.insert((module.clone(), name.clone()), path);
                }
            }
        }
        for (file, reader) in &readers {
            let uses = reader.uses.iter().map(|(module, _, path)| (module, path));
            for (module, path) in uses.chain(reader.paths.iter().map(|(module, path)| (module, path))) {
                let target = graph.absolute(module, path).and_then(|path| graph.file(&path, 0).cloned());
                if let Some(target) = target.filter(|target| target != *file) {
                    graph.references.entry(((*file).clone(), target)).or_insert_with(|| path.join("::"));
                }
            }
        }
        graph
    }

    /// Each reference: from which file, to which file, by which path.
    pub fn references(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.references.iter().map(|((from, to), path)| (from.as_str(), to.as_str(), path.as_str()))
    }

    /// Each set of files that all refer to each other, directly or through others.
    pub fn circles(&self) -> Vec<BTreeSet<&str>> {
        let reached: BTreeMap<&str, BTreeSet<&str>> =
            self.modules.values().map(|file| (file.as_str(), self.reached_from(file))).collect();
        let mut circles = BTreeSet::new();
        for (file, reach) in reached.iter().filter(|(file, reach)| reach.contains(*file)) {
            circles.insert(reach.iter().copied().filter(|other| reached[other].contains(file)).collect());
        }
        circles.into_iter().collect()
    }

    /// The references within a circle, one a line.
    pub fn described(&self, circle: &BTreeSet<&str>) -> String {
        let within = self.references().filter(|(from, to, _)| circle.contains(from) && circle.contains(to));
        within.map(|(from, to, path)| format!("  {from} -> {to}: {path}\n")).collect::<Vec<_>>().concat()
    }

    fn reached_from<'a>(&'a self, file: &'a str) -> BTreeSet<&'a str> {
        let (mut reached, mut open) = (BTreeSet::new(), vec![file]);
        while let Some(file) = open.pop() {
            let next = self.references().filter(|(from, _, _)| *from == file).map(|(_, to, _)| to);
            open.extend(next.filter(|to| reached.insert(*to)));
        }
        reached
    }

    /// A path as seen from the root of the crate. Returns `None` if it leads to another crate, or to a local name.
    fn absolute(&self, module: &[String], path: &[String]) -> Option<Path> {
        let first = path.first()?;
        let (mut base, rest) = match first.as_str() {
            "crate" => (Path::new(), &path[1..]),
            "self" | "super" => (module.to_vec(), path),
            _ => {
                let child = [module, &path[..1]].concat();
                return (path.len() > 1 && self.modules.contains_key(&child)).then(|| [module, path].concat());
            }
        };
        let steps = rest.iter().take_while(|s| *s == "self" || *s == "super").count();
        for _ in rest[..steps].iter().filter(|step| *step == "super") {
            base.pop();
        }
        Some([&base, &rest[steps..]].concat())
    }

    /// The file that defines what an absolute path names, also if other files import and pass on that name.
    fn file(&self, path: &[String], depth: usize) -> Option<&String> {
        let known = (0..=path.len()).rev().find(|&length| self.modules.contains_key(&path[..length]))?;
        let (module, rest) = path.split_at(known);
        let imported = rest.first().and_then(|name| self.imports.get(&(module.to_vec(), name.clone())));
        match imported {
            Some(target) if depth < 8 => self.file(&[target, &rest[1..]].concat(), depth + 1),
            _ => self.modules.get(module),
        }
    }
}

/// `commands/plan/mod.rs` and `commands/plan.rs` are the module `commands::plan`.
fn module(file: &str) -> Path {
    let path = file.trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").unwrap_or(path);
    path.split('/').filter(|name| *name != "lib").map(str::to_owned).collect()
}

/// Collects the paths of one file, each with the module that it stands in.
#[derive(Default)]
struct Reader {
    module: Path,
    inline: Vec<Path>,
    /// Module, name, and path of each import.
    uses: Vec<(Path, String, Path)>,
    paths: Vec<(Path, Path)>,
}

impl Reader {
    fn import(&mut self, before: &[String], tree: &UseTree) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.import(&with(&path.ident), &path.tree),
            UseTree::Name(name) if name.ident == "self" => {
                let own = before.last().cloned().unwrap_or_default();
                self.uses.push((self.module.clone(), own, before.to_vec()));
            }
            UseTree::Name(name) => self.uses.push((self.module.clone(), name.ident.to_string(), with(&name.ident))),
            UseTree::Rename(name) => {
                self.uses.push((self.module.clone(), name.rename.to_string(), with(&name.ident)));
            }
            UseTree::Glob(_) => self.paths.push((self.module.clone(), before.to_vec())),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(before, tree)),
        }
    }
}

impl<'a> Visit<'a> for Reader {
    fn visit_item(&mut self, item: &'a Item) {
        if !of_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'a ImplItemFn) {
        if !of_tests(&function.attrs) {
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_item_mod(&mut self, item: &'a ItemMod) {
        if item.content.is_some() {
            self.module.push(item.ident.to_string());
            self.inline.push(self.module.clone());
            visit::visit_item_mod(self, item);
            self.module.pop();
        }
    }

    fn visit_item_use(&mut self, item: &'a ItemUse) {
        self.import(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        if path.leading_colon.is_none() {
            self.paths.push((self.module.clone(), path.segments.iter().map(|s| s.ident.to_string()).collect()));
        }
        visit::visit_path(self, path);
    }

    /// The arguments of a macro are tokens, not yet syntax.
    fn visit_macro(&mut self, call: &'a Macro) {
        let tokens = call.tokens.to_string().replace(" :: ", "::");
        let words = tokens.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
        for path in words.filter(|word| word.contains("::") && !word.starts_with(':')) {
            self.paths.push((self.module.clone(), path.split("::").map(str::to_owned).collect()));
        }
        visit::visit_macro(self, call);
    }

    /// `pub(super)` refers to nothing.
    fn visit_visibility(&mut self, _: &'a Visibility) {}

    fn visit_attribute(&mut self, _: &'a Attribute) {}
}

fn of_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|a| a.path().is_ident("cfg") && a.parse_args::<syn::Path>().is_ok_and(|p| p.is_ident("test")))
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
