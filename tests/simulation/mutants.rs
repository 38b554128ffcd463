//! Mistakes between the library and the world, to show that the invariants can see.

use std::time::Duration;

use headwater::checkpoint::Checkpoint;
use headwater::{Response, Result};

use super::hub::Hub;
use super::oracle::Invariant;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutant {
    SinkDropsABatch,
    SinkDropsTheFirstBatchAfterACrash,
    SinkWritesABatchTwice,
    SinkCommitsNothing,
    CheckpointsAreNotStored,
    NumbersAreParsed,
    SourcesDoNotShareTheirLimiter,
    LimiterIsTooFast,
    BurstIsTooLarge,
    ToldWaitsAreNotRead,
    ToldWaitsAreHalved,
    TransportRetriesByItself,
    SourcesRunFarAhead,
    TasksAreLeftBehind,
    ErrorsAreOfTheWrongKind,
    AnswersArePadded,
    TheEndIsNotStored,
    AnswersGetLost,
    BudgetsAreNotRead,
    CredentialsAreForgotten,
    PagesAreTriedTooOften,
    CeilingsAreNotDeclared,
    FinishedSlicesAreForgotten,
    OpenSlicesAreForgotten,
    OpenSlicesBeginAgain,
    AParentIsSkipped,
    MarksMoveBeforeTheEnd,
    BoundaryKeysAreForgotten,
    DeltaTokensAreForgotten,
    RestartsKeepOldRows,
    FinishedSlicesStayOpen,
    AllPartsAreOpenAtOnce,
    LanesAreMoreThanDeclared,
    TotalsAreNotDeclared,
    ForeseenPagesAreBelieved,
    PagesComeAsTheyFinish,
    MarksRunAhead,
    MarksAreTakenWhenTheCommitEnds,
}

pub(crate) const MUTANTS: [Mutant; 38] = [
    Mutant::SinkDropsABatch,
    Mutant::SinkDropsTheFirstBatchAfterACrash,
    Mutant::SinkWritesABatchTwice,
    Mutant::SinkCommitsNothing,
    Mutant::CheckpointsAreNotStored,
    Mutant::NumbersAreParsed,
    Mutant::SourcesDoNotShareTheirLimiter,
    Mutant::LimiterIsTooFast,
    Mutant::BurstIsTooLarge,
    Mutant::ToldWaitsAreNotRead,
    Mutant::ToldWaitsAreHalved,
    Mutant::TransportRetriesByItself,
    Mutant::SourcesRunFarAhead,
    Mutant::TasksAreLeftBehind,
    Mutant::ErrorsAreOfTheWrongKind,
    Mutant::AnswersArePadded,
    Mutant::TheEndIsNotStored,
    Mutant::AnswersGetLost,
    Mutant::BudgetsAreNotRead,
    Mutant::CredentialsAreForgotten,
    Mutant::PagesAreTriedTooOften,
    Mutant::CeilingsAreNotDeclared,
    Mutant::FinishedSlicesAreForgotten,
    Mutant::OpenSlicesAreForgotten,
    Mutant::OpenSlicesBeginAgain,
    Mutant::AParentIsSkipped,
    Mutant::MarksMoveBeforeTheEnd,
    Mutant::BoundaryKeysAreForgotten,
    Mutant::DeltaTokensAreForgotten,
    Mutant::RestartsKeepOldRows,
    Mutant::FinishedSlicesStayOpen,
    Mutant::AllPartsAreOpenAtOnce,
    Mutant::LanesAreMoreThanDeclared,
    Mutant::TotalsAreNotDeclared,
    Mutant::ForeseenPagesAreBelieved,
    Mutant::PagesComeAsTheyFinish,
    Mutant::MarksRunAhead,
    Mutant::MarksAreTakenWhenTheCommitEnds,
];

impl Mutant {
    /// The invariants that may find it.
    pub(crate) fn found_by(self) -> &'static [Invariant] {
        use Invariant as By;
        match self {
            Self::SinkDropsABatch
            | Self::SinkDropsTheFirstBatchAfterACrash
            | Self::SinkWritesABatchTwice
            | Self::SinkCommitsNothing
            | Self::NumbersAreParsed => &[By::ExactlyOnce],
            Self::CheckpointsAreNotStored | Self::SourcesRunFarAhead => &[By::FewRequestsAgain],
            Self::SourcesDoNotShareTheirLimiter => &[By::LimiterBoundHolds, By::ToldWaitsAreKept],
            Self::LimiterIsTooFast | Self::BurstIsTooLarge => &[By::LimiterBoundHolds],
            Self::ToldWaitsAreNotRead | Self::ToldWaitsAreHalved => &[By::ToldWaitsAreKept],
            Self::TransportRetriesByItself => {
                &[By::CountsReconcile, By::LimiterBoundHolds, By::ToldWaitsAreKept]
            }
            Self::TasksAreLeftBehind => &[By::NothingLeftBehind],
            Self::ErrorsAreOfTheWrongKind => &[By::ErrorsAreTyped],
            Self::AnswersArePadded | Self::TheEndIsNotStored => &[By::CountsReconcile],
            Self::AnswersGetLost => &[By::RunsFinish],
            Self::BudgetsAreNotRead => &[By::ToldBudgetsAreKept],
            Self::CredentialsAreForgotten => &[By::CredentialsStayHome],
            Self::PagesAreTriedTooOften => &[By::AttemptsAreCounted],
            Self::CeilingsAreNotDeclared => &[By::ErrorsAreTyped],
            Self::FinishedSlicesAreForgotten | Self::OpenSlicesBeginAgain => &[By::FewRequestsAgain],
            Self::OpenSlicesAreForgotten
            | Self::AParentIsSkipped
            | Self::BoundaryKeysAreForgotten
            | Self::RestartsKeepOldRows => &[By::ExactlyOnce],
            Self::MarksMoveBeforeTheEnd | Self::DeltaTokensAreForgotten => &[By::MarksAreOfFinishedRuns],
            Self::FinishedSlicesStayOpen | Self::AllPartsAreOpenAtOnce => &[By::MarksAreBounded],
            Self::LanesAreMoreThanDeclared | Self::TotalsAreNotDeclared => &[By::FewRequestsAgain],
            Self::ForeseenPagesAreBelieved | Self::MarksRunAhead | Self::MarksAreTakenWhenTheCommitEnds => {
                &[By::ExactlyOnce]
            }
            Self::PagesComeAsTheyFinish => &[By::MarksMoveInOrder],
        }
    }

    /// How often the sink writes this batch, the n-th of the process.
    pub(crate) fn writes(self, hub: &Hub, number: u64) -> u32 {
        match self {
            Self::SinkDropsABatch if hub.state().one_in(10) => 0,
            Self::SinkDropsTheFirstBatchAfterACrash if number == 1 && hub.state().life > 1 => 0,
            Self::SinkWritesABatchTwice if hub.state().one_in(10) => 2,
            _ => 1,
        }
    }

    /// Whether the store does what it says.
    pub(crate) fn saves(self, hub: &Hub, checkpoints: &[Checkpoint]) -> bool {
        // The first ones and the last ones are, so that no report tells of it.
        let unremarkable = |checkpoint: &Checkpoint| checkpoint.mark.pages == 0 || checkpoint.is_finished();
        match self {
            Self::CheckpointsAreNotStored => {
                !hub.state().is_going_to_die() || checkpoints.iter().all(unremarkable)
            }
            Self::TheEndIsNotStored => !checkpoints.iter().any(Checkpoint::is_finished),
            _ => true,
        }
    }

    /// What the library gets to see of an answer.
    pub(crate) fn look(hub: &Hub, response: Result<Response>) -> Result<Response> {
        let mutant = hub.state().mutant;
        let mut response = response?;
        match mutant {
            Some(Self::ToldWaitsAreNotRead) => {
                let is_hint = |name: &str| name.contains("retry-after") || name.contains("ratelimit");
                let names: Vec<_> =
                    response.headers.keys().filter(|name| is_hint(name.as_str())).cloned().collect();
                for name in names {
                    response.headers.remove(name);
                }
            }
            // What is used up is read, and what is left is not.
            Some(Self::BudgetsAreNotRead) => {
                for name in ["x-ratelimit-remaining", "ratelimit-remaining"] {
                    if response.headers.get(name).is_some_and(|left| left != "0") {
                        response.headers.remove(name);
                    }
                }
            }
            Some(Self::ToldWaitsAreHalved) => {
                let wait = response.headers.get("retry-after").and_then(|value| value.to_str().ok());
                if let Some(seconds) = wait.and_then(|wait| wait.parse::<u64>().ok()) {
                    response.headers.insert("retry-after", (seconds / 2).into());
                }
            }
            Some(Self::NumbersAreParsed) => {
                if let Ok(value) = serde_json::from_slice::<serde_json::Value>(&response.body) {
                    response.body = value.to_string().into();
                }
            }
            Some(Self::AnswersArePadded) if hub.state().one_in(10) => {
                response.body = [&response.body, b"\n".as_slice()].concat().into();
            }
            Some(Self::TasksAreLeftBehind) => {
                tokio::spawn(tokio::time::sleep(Duration::from_secs(86_400 * 30)));
            }
            Some(Self::ErrorsAreOfTheWrongKind) if response.status == 401 => {
                response.status = http::StatusCode::PAYMENT_REQUIRED;
            }
            _ => {}
        }
        Ok(response)
    }
}
