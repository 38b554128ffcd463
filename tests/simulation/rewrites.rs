//! Mistakes in what is stored of a source's position: the same JSON with something missing.

use headwater::checkpoint::Checkpoint;
use serde_json::{Value, json};

use super::hub::{Hub, number};
use super::mutants::Mutant;

/// The checkpoints as a mistaken library would store them.
pub(crate) fn rewritten(hub: &Hub, checkpoints: &[Checkpoint]) -> Vec<Checkpoint> {
    checkpoints.iter().map(|checkpoint| one(hub, checkpoint)).collect()
}

fn one(hub: &Hub, checkpoint: &Checkpoint) -> Checkpoint {
    let mut state = hub.state();
    let Some(mutant) = state.mutant else { return checkpoint.clone() };
    let (source, finished) = (number(&checkpoint.source), checkpoint.is_finished());
    if mutant == Mutant::MarksAreTakenWhenTheCommitEnds {
        let begins = (checkpoint.epoch, checkpoint.mark.clone(), checkpoint.records);
        let newest = state.newest.entry(source).or_insert_with(|| begins.clone());
        if checkpoint.epoch > newest.0 {
            *newest = begins;
        }
        let mut late = checkpoint.clone();
        (late.mark, late.records) = (newest.1.clone(), newest.2);
        return late;
    }
    let mut mark = serde_json::to_value(&checkpoint.mark).expect("a mark");
    match mutant {
        Mutant::MarksMoveBeforeTheEnd => {
            if let Some(top) = mark.pointer("/high/top").filter(|_| !finished).cloned() {
                mark["high"]["since"] = top;
            }
        }
        Mutant::BoundaryKeysAreForgotten => {
            for level in ["/high/since", "/high/top"] {
                if let Some(level) = mark.pointer_mut(level) {
                    level["seen"] = json!([]);
                }
            }
        }
        Mutant::MarksRunAhead => {
            // As if what had come of a later page were written.
            for counted in ["/next/offset", "/next/page"] {
                if let Some(number) = mark.pointer_mut(counted).filter(|number| number.is_u64()) {
                    *number = json!(number.as_u64().map(|number| number + 1));
                }
            }
        }
        Mutant::DeltaTokensAreForgotten if finished => mark["after"] = Value::Null,
        _ => {
            let Some(progress) = mark.pointer_mut("/next/slices") else { return checkpoint.clone() };
            match mutant {
                Mutant::FinishedSlicesAreForgotten => {
                    // Everything that had not begun when something was stored first.
                    let first = state.first_ahead.entry(source).or_insert(progress["ahead"].clone());
                    progress["ahead"] = first.clone();
                }
                Mutant::FinishedSlicesStayOpen => {
                    let known = state.known_open.entry(source).or_default();
                    for open in progress.get("open").and_then(Value::as_array).into_iter().flatten() {
                        known.retain(|other| other["slice"] != open["slice"]);
                        known.push(open.clone());
                    }
                    progress["open"] = known.clone().into();
                }
                Mutant::OpenSlicesAreForgotten => progress["open"] = json!([]),
                Mutant::OpenSlicesBeginAgain => {
                    let open = progress.get_mut("open").and_then(Value::as_array_mut);
                    for open in open.into_iter().flatten() {
                        open["mark"] = serde_json::to_value(headwater::Mark::start()).expect("a mark");
                    }
                }
                Mutant::AParentIsSkipped => {
                    if let Some(Value::Array(pending)) = progress.pointer_mut("/ahead/parents/pending") {
                        pending.pop();
                    }
                }
                _ => {}
            }
        }
    }
    let mut rewritten = checkpoint.clone();
    rewritten.mark = serde_json::from_value(mark).expect("a mark");
    rewritten
}
