"""Names of everything we store in Optuna beside parameters and values."""

# On a study.
SPACE = "space"
SPACE_DIGEST = "space_digest"
FAMILY = "family"
SCORING = "scoring"
FOLDER = "folder"
STOP_REASON = "stop_reason"

# On a trial.
LEASE = "lease"
SEED_ID = "seed_id"
RETRY_OF = "retry_of"
RESULT_OF = "result_of"
OUTCOME = "outcome"
REASON = "reason"
FEASIBLE = "feasible"
EFFECTIVE = "effective_params"
CHECKPOINT = "checkpoint"
EPOCH = "epoch"
STANDARD_ERROR = "objective_se"
SECONDS = "seconds"
MAX_TRAIN_STEPS = "max_train_steps"
