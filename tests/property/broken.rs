//! Engines that are broken on purpose: the property must catch each.

use planner::cascade::{Delete, Preflight};
use planner::catalog::Catalog;
use planner::compile::compile;
use planner::plan::Plan;
use planner::{CompiledPlan, ErasePlan};

/// What is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breakage {
    /// A composite key is matched by one of its columns.
    HalfOfAKey,
    /// Keys of parents that go first are not stored where the statements that need them search.
    NoCapture,
    /// The predicate on the tenant is always true.
    NoTenant,
    /// The same in a part of a statement that deletes from several tables at once.
    NoTenantInACircle,
    /// Nothing proves that part of a key is no other organization's as well.
    NoProof,
    /// People are deleted to whom others refer.
    NoRounds,
    /// A step is left out.
    NoStep,
    /// The predicate on the tenant is always true in the deletes of pages.
    NoTenantInPages,
    /// Rows to which others refer go with a page.
    ReferredInPages,
}

impl Breakage {
    pub const ALL: [Self; 7] = [
        Self::HalfOfAKey,
        Self::NoCapture,
        Self::NoTenant,
        Self::NoTenantInACircle,
        Self::NoProof,
        Self::NoRounds,
        Self::NoStep,
    ];

    /// Of deletions in pages.
    pub const OF_PAGES: [Self; 2] = [Self::NoTenantInPages, Self::ReferredInPages];

    /// What breaks the operator's own schema, and what mends it.
    pub const fn sql(self) -> Option<[&'static str; 2]> {
        match self {
            // The row that says that the keys are complete is written.
            Self::NoCapture => Some([
                "CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; \
                 CREATE TRIGGER lose BEFORE INSERT ON organization_operator.captured_keys \
                    FOR EACH ROW WHEN (NEW.keys <> '{}') EXECUTE FUNCTION lose()",
                "DROP FUNCTION lose CASCADE",
            ]),
            _ => None,
        }
    }

    /// Compiles the plan into something broken. Returns `None` if this schema has nothing of the kind.
    pub fn compile(self, plan: Plan, catalog: Catalog, role: &str) -> Option<CompiledPlan> {
        match self {
            Self::HalfOfAKey => half_of_a_key(plan, catalog, role),
            Self::NoCapture => no_capture(&plan, &catalog, role),
            Self::NoTenant => no_tenant(&plan, catalog, role),
            Self::NoTenantInACircle => no_tenant_in_a_circle(&plan, catalog, role),
            Self::NoProof => no_proof(&plan, &catalog, role),
            Self::NoRounds => no_rounds(plan, catalog, role),
            Self::NoStep => no_step(plan, &catalog, role),
            Self::NoTenantInPages => no_tenant_in_pages(&plan, catalog, role),
            Self::ReferredInPages => referred_in_pages(&plan, &catalog, role),
        }
    }
}

/// What a plan without faults runs.
fn ready(compiled: &mut CompiledPlan) -> Option<&mut ErasePlan> {
    match &mut compiled.verdict {
        planner::Verdict::Ready(erase) => Some(erase),
        planner::Verdict::Blocked { .. } => None,
    }
}

fn half_of_a_key(mut plan: Plan, mut catalog: Catalog, role: &str) -> Option<CompiledPlan> {
    let step = plan.steps.iter_mut().find(|s| s.parent.is_some() && s.columns.len() > 1)?;
    // The half that the other tenants have as well.
    let half = step.columns.iter().find(|(_, parent)| *parent == "n").map(|(c, p)| (c.clone(), p.clone()))?;
    step.columns.retain(|c, _| *c == half.0);
    for table in &mut catalog.tables {
        table.unique_keys.push(vec![half.1.clone()]);
    }
    let mut compiled = compile(&plan, &catalog, role).ok()?;
    // The count of parents that are still there would refuse it.
    ready(&mut compiled)?.parents_left = None;
    Some(compiled)
}

fn no_capture(plan: &Plan, catalog: &Catalog, role: &str) -> Option<CompiledPlan> {
    let mut compiled = compile(plan, catalog, role).ok()?;
    let captures = !ready(&mut compiled)?.captures.is_empty();
    captures.then_some(compiled)
}

/// The plan with a predicate on the tenant that is always true, and as it is.
fn with_and_without_tenant(plan: &Plan, mut catalog: Catalog, role: &str) -> Option<(CompiledPlan, CompiledPlan)> {
    let whole = compile(plan, &catalog, role).ok()?;
    for table in &mut catalog.tables {
        let key = if table.id == whole.root.id { "id" } else { "org" };
        for column in table.columns.iter_mut().filter(|c| c.name == key) {
            column.type_name.push_str(" IS NOT NULL");
        }
    }
    Some((whole, compile(plan, &catalog, role).ok()?))
}

fn no_tenant_in_a_circle(plan: &Plan, catalog: Catalog, role: &str) -> Option<CompiledPlan> {
    let (mut whole, broken) = with_and_without_tenant(plan, catalog, role)?;
    // More than one organization would be refused.
    let circle = |delete: &Delete| delete.tables.len() > 1 && !delete.organization;
    let deletes = &broken.erase().ok()?.deletes;
    let at = deletes.iter().position(circle)?;
    ready(&mut whole)?.deletes[at] = deletes[at].clone();
    Some(whole)
}

fn no_tenant_in_pages(plan: &Plan, catalog: Catalog, role: &str) -> Option<CompiledPlan> {
    let (mut whole, broken) = with_and_without_tenant(plan, catalog, role)?;
    let pages = broken.erase().ok()?.pages.clone();
    if pages.is_empty() {
        return None;
    }
    ready(&mut whole)?.pages = pages;
    Some(whole)
}

/// Rows to which others refer are not spared, and nothing is checked before the first page.
fn referred_in_pages(plan: &Plan, catalog: &Catalog, role: &str) -> Option<CompiledPlan> {
    let mut compiled = compile(plan, catalog, role).ok()?;
    let erase = ready(&mut compiled)?;
    let mut broken = false;
    for paged in &mut erase.pages {
        let by_tids = paged.by_tids.iter_mut().map(|by_tids| &mut by_tids.page);
        for page in by_tids.chain([&mut paged.by_blocks]) {
            let any = page.delete.replace("NOT EXISTS (SELECT FROM ", "true OR NOT EXISTS (SELECT FROM ");
            broken |= any != page.delete;
            page.delete = any;
        }
    }
    erase.preflight = Preflight::default();
    broken.then_some(compiled)
}

fn no_proof(plan: &Plan, catalog: &Catalog, role: &str) -> Option<CompiledPlan> {
    let mut compiled = compile(plan, catalog, role).ok()?;
    let erase = ready(&mut compiled)?;
    erase.preflight.ambiguous.take()?;
    erase.parents_left = None;
    Some(compiled)
}

/// Whoever the organization's rows refer to goes with them, as children go with a parent.
fn no_rounds(mut plan: Plan, mut catalog: Catalog, role: &str) -> Option<CompiledPlan> {
    let step = plan.steps.iter_mut().find(|s| s.referenced_by.is_some())?;
    let key = catalog.declared(&step.table)?.unique_keys.first()?.clone();
    let referring = match step.column.take() {
        Some(column) => [(key[0].clone(), column)].into(),
        None => step.columns.iter().map(|(column, key)| (key.clone(), column.clone())).collect(),
    };
    step.parent = step.referenced_by.take();
    step.columns = referring;
    step.unless.clear();
    for table in &mut catalog.tables {
        table.unique_keys.push(step.columns.values().cloned().collect());
    }
    let mut compiled = compile(&plan, &catalog, role).ok()?;
    ready(&mut compiled)?.preflight = Preflight::default();
    Some(compiled)
}

fn no_tenant(plan: &Plan, catalog: Catalog, role: &str) -> Option<CompiledPlan> {
    let (whole, mut broken) = with_and_without_tenant(plan, catalog, role)?;
    // The organizations themselves are deleted one by one: more than one would be refused.
    let alone = |delete: &&Delete| delete.organization && delete.tables.is_empty();
    let organization = whole.erase().ok()?.deletes.iter().find(alone)?.clone();
    *ready(&mut broken)?.deletes.iter_mut().find(|d| d.organization)? = organization;
    Some(CompiledPlan { root: whole.root, ..broken })
}

/// The last step whose table is nobody's parent.
fn no_step(mut plan: Plan, catalog: &Catalog, role: &str) -> Option<CompiledPlan> {
    let needed = |entity: &String| {
        plan.steps.iter().any(|s| s.parent.as_ref() == Some(entity) || s.referenced_by.as_ref() == Some(entity))
    };
    let leaf = plan.steps.iter().rposition(|s| !needed(&s.entity))?;
    plan.steps.remove(leaf);
    if plan.steps.is_empty() {
        return None;
    }
    compile(&plan, catalog, role).ok()
}
