//! The operator's own table `captured_keys`: keys of parents, by which the rows that are found by them are deleted and counted
//! when the parents are gone. Most go at the end of the transaction that wrote them. Those of parents of what no foreign key
//! protects are kept until these rows were counted again.

use sqlx::{PgConnection, Row as _};

use super::Actor;
use crate::api::Reason;
use crate::db::error::{During, OrFailure as _};
use crate::db::statement::{Keys, own};
use crate::domain::Failure;
use planner::ErasePlan;
use planner::captured::KeySet;
use planner::cascade::Capture;

/// A set that is kept has a row without keys: it says that the keys are complete, even if there are none.
const MARK: &str = r"
    WITH dropped AS (
        DELETE FROM organization_operator.captured_keys WHERE erasure = $1 AND key_set <> ALL($2)
    )
    INSERT INTO organization_operator.captured_keys (erasure, key_set, keys)
    SELECT $1, name, '{}' FROM unnest($2::text[]) name
    WHERE NOT EXISTS (
        SELECT FROM organization_operator.captured_keys k WHERE k.erasure = $1 AND k.key_set = name AND k.keys = '{}')";

const KEPT: &str = r"
    SELECT key_set FROM organization_operator.captured_keys WHERE erasure = $1 AND keys = '{}'";

const EARLIER: &str = r"
    UPDATE organization_operator.captured_keys SET earlier = true WHERE erasure = $1 AND NOT earlier";

const DROP: &str = r"
    DELETE FROM organization_operator.captured_keys WHERE erasure = $1";

/// Takes over what an operator up to 0.2 stored of a set: `{"columns": [..], "keys": [[..], ..], "in_use": [..]}`, one array of
/// values for each column, and rows whose key is in use again by their place.
const TAKE_OVER: &str = r"
    WITH e AS (
        SELECT keys FROM organization_operator.earlier_captured_keys
        WHERE cluster_id = $4 AND object_uid = $5 AND parent_table = $6 AND keys->'columns' @> to_jsonb($3::text[])
    ), r AS (
        SELECT v.n, array_agg(v.value ORDER BY p.place) AS key
        FROM e
            CROSS JOIN unnest($3::text[]) WITH ORDINALITY p(name, place)
            JOIN LATERAL jsonb_array_elements_text(e.keys->'columns') WITH ORDINALITY c(name, place) ON c.name = p.name
            CROSS JOIN LATERAL jsonb_array_elements_text(e.keys->'keys'->(c.place - 1)::int) WITH ORDINALITY v(value, n)
        WHERE NOT EXISTS (
            SELECT FROM jsonb_array_elements(COALESCE(e.keys->'in_use', '[]')) u
            WHERE u->'columns' = to_jsonb($3::text[]) AND u->'rows' @> to_jsonb(v.n - 1))
        GROUP BY v.n
    )
    INSERT INTO organization_operator.captured_keys (erasure, key_set, keys)
    SELECT $1, $2, '{}' FROM e
    UNION ALL
    SELECT $1, $2, array_agg(s.key)
    FROM (
        SELECT CASE cardinality(r.key) WHEN 1 THEN r.key[1] ELSE r.key::text END AS key, row_number() OVER () / 1000 AS chunk
        FROM r WHERE array_position(r.key, NULL) IS NULL
    ) s
    GROUP BY s.chunk";

const DROP_EARLIER: &str = r"
    DELETE FROM organization_operator.earlier_captured_keys WHERE cluster_id = $1 AND object_uid = $2";

/// The keys of this object's erasure.
pub(crate) fn of(actor: Actor<'_>) -> Keys {
    Keys::of(erasure(actor))
}

fn erasure(Actor { cluster, subject, .. }: Actor<'_>) -> String {
    format!("{cluster}/{}", subject.uid)
}

fn kept(erase: &ErasePlan) -> impl Iterator<Item = (&Capture, &KeySet)> {
    erase.captures.iter().filter(|c| c.kept).flat_map(|capture| capture.sets.iter().map(move |set| (capture, set)))
}

/// Keeps the keys that the count after COMMIT needs, and drops the others.
pub(crate) async fn keep(connection: &mut PgConnection, actor: Actor<'_>, erase: &ErasePlan) -> Result<(), Failure> {
    if erase.captures.is_empty() && erase.exclusive.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = kept(erase).map(|(_, set)| set.name.as_str()).collect();
    let during = During::action("storing captured keys");
    own(MARK).bind(erasure(actor)).bind(names).execute(connection).await.or_failure(during)?;
    Ok(())
}

/// Checks that the keys are there that this plan needs, and tells them from those that this transaction captures. Fails when the
/// plan needs other keys now.
pub(crate) async fn resume(connection: &mut PgConnection, actor: Actor<'_>, erase: &ErasePlan) -> Result<(), Failure> {
    let during = During::action("reading captured keys");
    let mut found = marked(connection, actor).await.or_failure(during)?;
    if found.is_empty() && kept(erase).next().is_some() {
        for (capture, set) in kept(erase) {
            take_over(connection, actor, capture, set).await.or_failure(during)?;
        }
        actor.own(DROP_EARLIER).execute(&mut *connection).await.or_failure(during)?;
        found = marked(connection, actor).await.or_failure(during)?;
    }
    if let Some((capture, _)) = kept(erase).find(|(_, set)| !found.contains(&set.name)) {
        return Err(plan_changed(&capture.declared));
    }
    own(EARLIER).bind(erasure(actor)).execute(connection).await.or_failure(during)?;
    Ok(())
}

async fn marked(connection: &mut PgConnection, actor: Actor<'_>) -> Result<Vec<String>, sqlx::Error> {
    own(KEPT).bind(erasure(actor)).fetch_all(connection).await?.iter().map(|row| row.try_get(0)).collect()
}

async fn take_over(
    connection: &mut PgConnection,
    actor: Actor<'_>,
    capture: &Capture,
    set: &KeySet,
) -> Result<(), sqlx::Error> {
    let stored_as = format!("{}#{}", capture.declared, capture.step);
    own(TAKE_OVER)
        .bind(erasure(actor))
        .bind(&set.name)
        .bind(&set.columns)
        .bind(actor.cluster)
        .bind(&actor.subject.uid)
        .bind(stored_as)
        .execute(connection)
        .await?;
    Ok(())
}

fn plan_changed(table: &str) -> Failure {
    Failure::new(
        Reason::SchemaMismatch,
        format!(
            "the plan was changed after this organization was erased, so the child rows of `{table}` cannot be counted again"
        ),
    )
    .table(table)
    .remedy("restore the earlier plan (cascade) until this deletion is completed")
}

/// Deletes the keys.
pub(crate) async fn drop(connection: &mut PgConnection, actor: Actor<'_>) -> Result<(), Failure> {
    let during = During::action("deleting captured keys");
    own(DROP).bind(erasure(actor)).execute(connection).await.or_failure(during)?;
    Ok(())
}
