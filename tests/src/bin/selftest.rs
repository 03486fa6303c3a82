//! `make selftest`: turns on one seeded bug at a time and passes only if the tests named for it catch each.
//!
//! A test is trusted to catch a bug only after it passed without it, and caught means that very test failed: a test that
//! did not run, a build that broke or a run that hung count as misses.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// A seeded bug, and the test that must catch it on a database (`sqlite` or `postgres`); of the crash harness, the count
/// that must not be zero.
struct Bug {
    name: &'static str,
    binary: &'static str,
    test: &'static str,
    backend: &'static str,
}

const fn bug(name: &'static str, backend: &'static str, binary: &'static str, test: &'static str) -> Bug {
    Bug { name, binary, test, backend }
}

const PG: &str = "postgres";
const LITE: &str = "sqlite";

/// One line per bug and test: the name in the code, the database, the test binary, the test's full name.
const BUGS: &[Bug] = &[
    bug("tenant_set_for_session", PG, "wall", "pooled::c206_whoever_speaks_next_on_a_connection_finds_no_tenant"),
    bug("alone_set_for_session", PG, "wall", "pooled::c206_whoever_speaks_next_on_a_connection_finds_no_tenant"),
    bug("alone_credential_unchecked", PG, "wall", "alone::c213_a_stale_credential_reads_nothing_alone"),
    bug("begin_not_guarded", PG, "wall", "leaks::c206_a_dropped_beginning_leaves_no_open_transaction_behind"),
    bug("commit_lies", PG, "wall", "leaks::c187_a_commit_after_a_failed_statement_is_refused"),
    bug("commit_lies", LITE, "wall", "leaks::c187_a_commit_after_a_failed_statement_is_refused"),
    bug("predicate_forgotten", LITE, "wall", "leaks::c204_ten_thousand_interleaved_transactions_see_their_own_tenant"),
    bug("policy_dropped", PG, "wall", "catalogue::c205_every_table_has_the_policy_and_forced_row_security"),
    bug("gate_reads_before_locking", PG, "delivery", "race::c175_the_gate_sees_the_unsubscribe_it_waited_for"),
    bug("unsubscribe_without_lock", PG, "delivery", "race::c175_an_unsubscribe_waits_for_the_gate"),
    bug("send_before_attempt_commits", PG, "delivery", "crashes::c166_nothing_leaves_before_its_attempt_is_started"),
    bug("send_before_attempt_commits", LITE, "delivery", "crashes::c166_nothing_leaves_before_its_attempt_is_started"),
    bug("fence_unchecked", LITE, "delivery", "crashes::c166_nothing_leaves_before_its_attempt_is_started"),
    bug("history_rewritable", PG, "wall", "append_only::c149_even_the_owner_changes_no_row_of_what_happened"),
    bug("history_rewritable", LITE, "wall", "append_only::c149_even_the_owner_changes_no_row_of_what_happened"),
    bug(
        "unsubscribe_without_lock",
        PG,
        "consent",
        "race::c175_an_unsubscribe_waits_for_the_send_that_holds_the_address",
    ),
    bug("gate_reads_before_locking", PG, "messaging", "race::c175_the_gate_reads_after_it_locked"),
    bug("fence_unchecked", PG, "messaging", "fence::c166_a_worker_that_lost_its_claim_starts_nothing"),
    bug("fence_unchecked", LITE, "messaging", "fence::c166_a_worker_that_lost_its_claim_starts_nothing"),
    bug(
        "permit_unchecked",
        PG,
        "delivery",
        "permits::what_did_not_leave_while_its_permit_was_good_passes_the_gate_again",
    ),
    bug(
        "permit_unchecked",
        LITE,
        "delivery",
        "permits::what_did_not_leave_while_its_permit_was_good_passes_the_gate_again",
    ),
    bug("lease_unchecked", PG, "messaging", "fence::c166_a_worker_that_lost_its_claim_starts_nothing"),
    bug("lease_unchecked", LITE, "messaging", "fence::c166_a_worker_that_lost_its_claim_starts_nothing"),
    bug("sweep_ignores_accepted", PG, "messaging", "fence::c167_what_a_lost_worker_had_delivered_is_sent"),
    bug("sweep_ignores_accepted", LITE, "messaging", "fence::c167_what_a_lost_worker_had_delivered_is_sent"),
    bug("bounce_without_lock", PG, "messaging", "race::c175_a_bounce_waits_for_the_gate_that_holds_the_address"),
    bug(
        "gate_forgets_retired_keys",
        PG,
        "messaging",
        "rotation::c157_the_gate_knows_what_was_said_under_a_retired_key",
    ),
    bug(
        "gate_forgets_retired_keys",
        LITE,
        "messaging",
        "rotation::c157_the_gate_knows_what_was_said_under_a_retired_key",
    ),
    bug(
        "unsubscribe_without_lock",
        PG,
        "messaging",
        "race::c175_a_suppression_by_hand_waits_for_the_gate_that_holds_the_address",
    ),
    bug("commit_ignored", PG, "consent", "links::c011_an_unsubscribe_whose_commit_failed_is_not_acknowledged"),
    bug("commit_ignored", PG, "messaging", "graphql::c187_messages_whose_commit_failed_are_not_acknowledged"),
    bug("commit_ignored", PG, "messaging", "gate::c161_a_gate_whose_commit_failed_gives_no_permit"),
    bug("permit_unasked_at_the_dot", PG, "delivery", "permits::the_permit_is_asked_again_before_the_final_dot"),
    bug("permit_unasked_at_the_dot", LITE, "delivery", "permits::the_permit_is_asked_again_before_the_final_dot"),
    bug("late_evidence_ignored", PG, "messaging", "fence::c168_late_evidence_is_believed_between_two_attempts"),
    bug("late_evidence_ignored", LITE, "messaging", "fence::c168_late_evidence_is_believed_between_two_attempts"),
    bug("group_waits_for_its_slowest", LITE, "delivery", "lingering::c062_one_slow_server_holds_up_nothing_but_itself"),
    bug(
        "machine_clicks_count",
        LITE,
        "tracking",
        "machines::c082_a_scanner_that_follows_everything_moves_nobody_and_the_person_behind_it_does",
    ),
    bug("events_told_unheld", PG, "workflows", "races::who_enters_while_a_workflow_is_archived_gets_nothing"),
    bug(
        "events_told_unheld",
        PG,
        "workflows",
        "races::an_event_told_while_the_first_version_is_published_starts_somebody",
    ),
    bug("events_side_by_side", PG, "workflows", "races::c184_a_cart_and_an_order_told_side_by_side_send_no_reminder"),
    bug(
        "goal_only_at_wake",
        PG,
        "workflows",
        "ends::a3_01_a_goal_in_a_wait_is_met_at_the_events_time_and_nothing_more_is_sent",
    ),
    bug(
        "goal_only_at_wake",
        LITE,
        "workflows",
        "ends::c184_a_goal_takes_back_what_is_queued_and_the_gate_refuses_what_is_claimed",
    ),
    bug(
        "gate_leaves_workflows_unlocked",
        PG,
        "workflows",
        "holds::c184_nothing_leaves_once_a_workflow_is_paused_or_archived",
    ),
    bug("step_key_without_visit", PG, "workflows", "running::a_month_of_waiting_is_a_few_drains"),
    bug("step_key_without_visit", LITE, "workflows", "running::a_month_of_waiting_is_a_few_drains"),
    bug("variant_by_way", LITE, "workflows", "variants::c183_who_enters_again_and_again_stays_in_one_variant"),
    bug("revocation_unnoticed", PG, "graphql", "subscriptions::c224_a_revoked_key_ends_its_sockets"),
    bug("revocation_unnoticed", LITE, "graphql", "subscriptions::c224_a_revoked_key_ends_its_sockets"),
    bug("token_end_unnoticed", LITE, "graphql", "subscriptions::c224_a_socket_ends_with_its_token"),
    bug("token_end_unnoticed", LITE, "graphql", "streams::c224_a_stream_is_for_who_has_a_credential_and_ends_with_it"),
    bug("tenant_cap_uncounted", LITE, "graphql", "subscriptions::c224_sockets_and_subscriptions_are_limited"),
    bug("slow_listener_kept", LITE, "graphql", "subscriptions::c224_who_takes_nothing_is_dropped"),
    bug(
        "feed_resumes_from_highest_id",
        PG,
        "messaging",
        "feed::whoever_reads_on_misses_nothing_however_late_it_was_committed",
    ),
    bug(
        "feed_resumes_from_highest_id",
        PG,
        "messaging",
        "feed::an_event_with_an_earlier_id_that_is_committed_later_is_told",
    ),
    bug(
        "webhook_address_unchecked",
        LITE,
        "webhooks",
        "endpoints::c227_a_name_that_leads_inside_is_never_connected_to",
    ),
    bug(
        "webhook_fence_unchecked",
        PG,
        "webhooks",
        "claims::l8_a_worker_that_lost_its_claim_changes_no_delivery_and_frees_no_endpoint",
    ),
    bug(
        "webhook_fence_unchecked",
        LITE,
        "webhooks",
        "claims::l8_a_worker_that_lost_its_claim_changes_no_delivery_and_frees_no_endpoint",
    ),
    bug("webhook_id_anew", LITE, "webhooks", "retries::c188_a_failure_is_tried_again_on_time_under_the_same_id"),
    bug(
        "freeze_reaches_before_it_writes",
        PG,
        "campaigns",
        "freezing::c166_a_freeze_that_is_killed_anywhere_misses_nobody",
    ),
    bug(
        "freeze_reaches_before_it_writes",
        LITE,
        "campaigns",
        "freezing::c166_a_freeze_that_is_killed_anywhere_misses_nobody",
    ),
    bug(
        "gate_leaves_campaign_unread",
        PG,
        "campaigns",
        "holding::nothing_leaves_once_a_campaign_is_paused_or_cancelled",
    ),
    bug(
        "gate_leaves_campaign_unread",
        LITE,
        "campaigns",
        "holding::nothing_leaves_once_a_campaign_is_paused_or_cancelled",
    ),
    bug(
        "bounce_address_unchecked",
        LITE,
        "reports",
        "bounces::c055_an_address_that_was_not_signed_here_is_none_and_is_counted",
    ),
    bug(
        "every_bounce_suppresses",
        LITE,
        "reports",
        "bounces::c050_a_bounce_for_another_reason_or_of_somebody_else_suppresses_nobody",
    ),
    bug("accepted_is_unknown", PG, CRASH, "repeated"),
    bug("gate_reads_before_locking", PG, CRASH, "after_unsubscribe"),
    bug("goal_only_at_wake", PG, CRASH, "after_goal"),
    bug("unsubscribe_without_lock", PG, CRASH, "after_unsubscribe"),
];

/// The whole harness of `make crash` in its short form, as if it were a test.
const CRASH: &str = "crash";

/// No test named above takes this long.
const LONGEST: Duration = Duration::from_mins(5);

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    /// It did not run, or did not end.
    Neither(String),
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("selftest: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let bugs: Vec<&Bug> =
        BUGS.iter().filter(|bug| wanted.is_empty() || wanted.iter().any(|name| name == bug.name)).collect();
    let binaries = build(&bugs)?;
    let mut sound = BTreeMap::new();
    let mut missed = 0;
    for bug in &bugs {
        let binary = &binaries[bug.binary];
        let without = match sound.entry((bug.binary, bug.test, bug.backend)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(try_test(binary, bug, None)?),
        };
        let verdict = match without {
            Outcome::Passed => match try_test(binary, bug, Some(bug.name))? {
                Outcome::Failed => "caught".to_owned(),
                Outcome::Passed => "MISSED".to_owned(),
                Outcome::Neither(why) => format!("MISSED, {why}"),
            },
            other => format!("MISSED, the test is {other:?} without the bug"),
        };
        missed += usize::from(verdict != "caught");
        println!("{:<28} {:<9} {}::{}: {verdict}", bug.name, bug.backend, bug.binary, bug.test);
    }
    println!("bugs={} caught={} missed={missed}", bugs.len(), bugs.len() - missed);
    Ok(missed == 0 && !bugs.is_empty())
}

/// Builds the test binaries once, with every bug in them and none turned on.
fn build(bugs: &[&Bug]) -> Result<BTreeMap<String, PathBuf>> {
    let mut names: Vec<&str> = bugs.iter().map(|bug| bug.binary).collect();
    names.sort_unstable();
    names.dedup();
    let (harness, tests): (Vec<&str>, Vec<&str>) = names.iter().copied().partition(|name| *name == CRASH);
    let mut binaries = BTreeMap::new();
    for (verb, kind, some) in [(&["test", "--no-run"][..], "--test", tests), (&["build"], "--bin", harness)] {
        if !some.is_empty() {
            let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            cargo.args(verb).args(["-p", "carillon-tests", "--features", "seeded-bugs", "--message-format", "json"]);
            cargo.args(some.iter().flat_map(|name| [kind, name]));
            binaries.extend(executables(cargo, &some)?);
        }
    }
    for name in names {
        ensure!(binaries.contains_key(name), "there is no test binary {name}");
    }
    Ok(binaries)
}

/// What a build made of these names.
fn executables(mut cargo: Command, names: &[&str]) -> Result<BTreeMap<String, PathBuf>> {
    let built = cargo.stderr(Stdio::inherit()).output().context("cargo starts")?;
    ensure!(built.status.success(), "the tests did not build with seeded bugs");
    let mut binaries = BTreeMap::new();
    for line in String::from_utf8_lossy(&built.stdout).lines() {
        let message: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
        let (name, executable) = (message["target"]["name"].as_str(), message["executable"].as_str());
        if let (Some(name), Some(executable)) = (name, executable)
            && names.contains(&name)
        {
            binaries.insert(name.to_owned(), PathBuf::from(executable));
        }
    }
    Ok(binaries)
}

fn try_test(binary: &Path, bug: &Bug, seeded: Option<&str>) -> Result<Outcome> {
    let output = tempfile::tempfile()?;
    let mut command = Command::new(binary);
    if bug.binary == CRASH {
        command.env("CRASH_SECONDS", "60");
    } else {
        command.args(["--exact", bug.test]);
    }
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("CARILLON_BUG");
    command.env("CARILLON_TEST_BACKEND", bug.backend).env("RUST_BACKTRACE", "0");
    if let Some(seeded) = seeded {
        command.env("CARILLON_BUG", seeded);
    }
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(Stdio::null());
    let mut child = command.spawn().with_context(|| format!("{} starts", binary.display()))?;
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if began.elapsed() > LONGEST {
            child.kill()?;
            child.wait()?;
            return Ok(Outcome::Neither("it hung".to_owned()));
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let printed = read_from_start(output)?;
    Ok(judge(bug, status, &printed))
}

fn judge(bug: &Bug, status: std::process::ExitStatus, printed: &str) -> Outcome {
    let (passed, failed) = if bug.binary == CRASH {
        let verdict = printed.lines().last().unwrap_or_default();
        let count = verdict.split(' ').find_map(|pair| pair.strip_prefix(bug.test)?.strip_prefix('='));
        let amount = count.and_then(|count| count.parse::<usize>().ok());
        (amount == Some(0), amount.is_some_and(|amount| amount > 0))
    } else {
        (printed.contains("1 passed; 0 failed"), printed.contains(&format!("test {} ... FAILED", bug.test)))
    };
    match (status.success(), passed, failed) {
        (true, true, _) => Outcome::Passed,
        (false, _, true) => Outcome::Failed,
        _ => Outcome::Neither(format!("no test of this name ran ({status})")),
    }
}

fn read_from_start(mut file: std::fs::File) -> Result<String> {
    use std::io::{Read, Seek};
    file.rewind()?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(text)
}
