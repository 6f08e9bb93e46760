//! The error detail of the status.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use crate::api::condition;
use crate::api::status::ErrorDetail;
use crate::domain::attempts::Attempts;
use crate::domain::failure::Failure;

pub(super) fn detail(
    failure: &Failure,
    before: Option<&ErrorDetail>,
    attempts: Attempts,
    now: Timestamp,
) -> ErrorDetail {
    let first_seen =
        before.filter(|b| b.reason == failure.reason).and_then(|b| b.first_seen_time.clone()).unwrap_or(Time(now));
    ErrorDetail {
        attempts: Some(attempts.count.max(1)),
        first_seen_time: Some(first_seen),
        last_seen_time: Some(Time(now)),
        ..error_detail(failure)
    }
}

/// The standard error detail of a failure, without times and attempts.
#[must_use]
pub fn error_detail(failure: &Failure) -> ErrorDetail {
    let cut = |text: &str, limit: usize| condition::truncate(text.to_owned(), limit);
    ErrorDetail {
        reason: failure.reason,
        code: failure.reason.code(),
        message: cut(&failure.message(), 8192),
        entity: failure.entity.as_deref().map(|t| cut(t, 63)),
        table: failure.table.as_deref().map(|t| cut(t, 255)),
        constraint: failure.constraint.as_deref().map(|t| cut(t, 255)),
        sql_state: failure.sql_state.clone(),
        rows: failure.rows,
        causes: failure
            .causes
            .iter()
            .take(64)
            .cloned()
            .map(|mut cause| {
                cause.message = cut(&cause.message, 2048);
                cause.remedy = cause.remedy.map(|r| cut(&r, 2048));
                cause
            })
            .collect(),
        remedy: failure.remedy.as_deref().map(|t| cut(t, 8192)),
        attempts: None,
        first_seen_time: None,
        last_seen_time: None,
    }
}
