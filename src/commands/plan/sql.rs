//! The statements of a cascade, for `plan show --sql`.

use serde::Serialize;

use planner::cascade::{PageStatements, PagedTable, Walk};
use planner::statement::{Param, Statement};
use planner::{Cascade, CompiledPlan};

/// A statement as it can be shown.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Sql<'a> {
    pub(super) what: String,
    #[serde(rename = "sql")]
    pub(super) text: &'a str,
    pub(super) parameters: Vec<String>,
}

/// The statements of pages, by which a large organization shrinks before the statements of the last transaction.
pub(super) fn in_pages(erase: &Cascade) -> Vec<Sql<'_>> {
    let mut all = Vec::new();
    for paged in &erase.pages {
        let walked = match &paged.walk {
            Walk::Own => &paged.table.name,
            Walk::Parents { table } => table,
        };
        let blocks = format!("in pages: the number of blocks of {walked}");
        all.push(sql(blocks, &paged.blocks, [].into_iter()));
        all.extend(page(paged, ("", BY_BLOCKS), &paged.by_blocks));
        if let Some(by_tids) = &paged.by_tids {
            let capture = format!("in pages: where the rows of {walked} lie, if they are a small part of it");
            let parameters = [KEY, "the most rows, and one more"];
            all.push(sql(capture, &by_tids.capture, parameters.into_iter()));
            all.extend(page(paged, (", if they are a small part", BY_TIDS), &by_tids.page));
        }
    }
    all
}

const KEY: &str = "the organization's key";
const BY_BLOCKS: [&str; 2] = ["ctid with which the page begins", "ctid with which the next page begins"];
const BY_TIDS: [&str; 2] =
    ["number of the captured ctid with which the page begins", "number with which the next page begins"];

/// The statements of one page.
fn page<'a>(
    paged: &'a PagedTable,
    (how, range): (&str, [&'static str; 2]),
    PageStatements { guard, delete }: &'a PageStatements,
) -> Vec<Sql<'a>> {
    let table = &paged.table.name;
    let page = || [KEY].into_iter().chain(range);
    let locked = ["tableoid of each locked row, in an array", "ctid of each locked row, in an array"];
    let with_locked = || page().chain(locked);
    let mut all = Vec::new();
    if let Some(guard) = guard {
        all.push(sql(format!("in pages{how}: lock rows of {table}"), &guard.lock, page()));
        let references = format!("in pages{how}: references from outside to the locked rows of {table}");
        all.push(sql(references, &guard.check, with_locked()));
    }
    let what = format!("in pages{how}: delete from {table}, and lock the rows to which the deleted rows belong");
    all.push(match (&paged.walk, guard) {
        (Walk::Parents { .. }, _) => sql(what, delete, page().chain(["the most rows of the page"])),
        (Walk::Own, Some(_)) => sql(what, delete, with_locked()),
        (Walk::Own, None) => sql(what, delete, page()),
    });
    all
}

fn sql(what: String, text: &str, parameters: impl Iterator<Item = &'static str>) -> Sql<'_> {
    let parameters = parameters.enumerate().map(|(i, meaning)| format!("${} = {meaning}", i + 1)).collect();
    Sql { what, text, parameters }
}

/// The statements before the first delete.
pub(super) fn before<'a>(compiled: &'a CompiledPlan, erase: &'a Cascade) -> Vec<Sql<'a>> {
    let mut all: Vec<Sql<'a>> = Vec::new();
    if let Some(lock) = &erase.lock_partitioned {
        all.push(statement("drop partitions in one deletion at a time".into(), lock));
    }
    all.extend([
        statement("keep the schema as it is".into(), &erase.lock_tables),
        statement("lock the organization".into(), &compiled.root.lock),
    ]);
    for partition in &erase.partitions {
        let what = format!(
            "before the first delete: the partition of {} that is locked, and removed later",
            partition.table.name
        );
        all.push(statement(what, &partition.find));
    }
    for exclusive in &erase.exclusive {
        let table = &exclusive.table.name;
        for referrer in &exclusive.referrers {
            let what = format!("before the first delete: rows of {} that refer to {table}", referrer.table.name);
            all.push(statement(what, &referrer.lock));
        }
        all.push(statement(format!("before the first delete: rows of {table}"), &exclusive.lock));
        let what = format!(
            "before the first delete, repeated until nothing changes: rows of {table} to which rows outside refer"
        );
        all.push(statement(what, &exclusive.referred));
        all.push(statement(
            format!("before the first delete: the rows of {table} that are left, then the statement above once more"),
            &exclusive.lock_alone,
        ));
    }
    for capture in &erase.captures {
        if let Some(captures) = &capture.statement {
            all.push(statement(format!("before the first delete: rows of {}", capture.declared), captures));
        }
    }
    if let Some(references) = &erase.preflight.references {
        let references = references.statement();
        all.push(statement("before the first delete: references from outside".into(), references));
    }
    if let Some(shared) = &erase.preflight.shared {
        let what = "before the first delete: rows that also belong to another organization";
        all.push(statement(what.into(), shared.statement()));
    }
    if let Some(ambiguous) = &erase.preflight.ambiguous {
        let ambiguous = ambiguous.statement();
        all.push(statement(
            "before the first delete: rows that could belong to another organization".into(),
            ambiguous,
        ));
    }
    if erase.may_interfere {
        all.push(statement("before the first delete: count".into(), erase.count.statement()));
    }
    for detach in &erase.detaches {
        let what = format!("before the first delete: set {} of {} to NULL", detach.columns.join(", "), detach.table);
        all.push(statement(what, &detach.statement));
    }
    all
}

/// The delete of the organization where it has a statement of its own, and the last count.
pub(super) fn after(erase: &Cascade) -> Vec<Sql<'_>> {
    let organization = erase.deletes.iter().enumerate().filter(|(_, delete)| delete.tables.is_empty());
    let mut all: Vec<Sql<'_>> = organization
        .map(|(i, delete)| {
            let early = if i + 1 < erase.deletes.len() {
                format!(" (statement {} of the deletes)", i + 1)
            } else {
                String::new()
            };
            statement(format!("delete the organization{early}"), &delete.statement)
        })
        .collect();
    let recount = if erase.may_interfere { Some(&erase.recount) } else { erase.recount_unproven.as_ref() };
    if let Some(recount) = recount {
        all.push(statement("count again".into(), recount.statement()));
    }
    if let Some(left) = &erase.parents_left {
        let when = if erase.accounted { ", if a delete did not delete one of them" } else { "" };
        all.push(statement(format!("count captured rows that are still there{when}"), left.statement()));
    }
    if let Some(left) = &erase.left_behind {
        let what = "count rows to which nothing refers any more";
        all.push(statement(what.into(), left.statement()));
    }
    all
}

/// One statement, with the meaning of its parameters.
pub(super) fn statement(what: String, statement: &Statement) -> Sql<'_> {
    let parameters = statement.params().iter().enumerate().map(|(i, param)| {
        let meaning = match param {
            Param::Key => "the organization's key",
            Param::Keys => "the organization's key, in an array",
            Param::Erasure => "the erasure that captures the keys",
        };
        format!("${} = {meaning}", i + 1)
    });
    Sql { what, text: statement.sql(), parameters: parameters.collect() }
}
