#!/bin/sh
# A fake Slurm for tests of the planner. It acts as sbatch, squeue or scancel, depending on the name it is called by. The
# queue is in the folder FAKE_SLURM. A job has a folder jobs/N with its name, state, reason, exit status and process.
#
# Tests control it with files: `down` (no command responds), `lost` (the next sbatch submits, but reports a timeout),
# `late` (the next sbatch reports a timeout and submits nothing), `refuse` (the next sbatch fails with this message),
# `hold` (jobs stay pending for this reason until the file is removed), `jobs/N/forgotten` (the controller no longer
# knows the job). `end N STATE` ends a job as Slurm would, and `end N REQUEUE` restarts it.
set -u
cd "$FAKE_SLURM" || exit 1
mkdir -p jobs

silent() {
  echo "$1: error: Unable to contact slurm controller (connect failure)" >&2
  exit 1
}

# Writes a word to a file atomically.
put() {
  echo "$2" >"$1.$$"
  mv "$1.$$" "$1"
}

# Runs a job in a process that outlives its submitter.
job() {
  cd "jobs/$1" || exit 1
  restarts=0
  while :; do
    while [ -e ../../hold ] && [ ! -e verdict ]; do
      put reason "$(cat ../../hold 2>/dev/null)"
      sleep 0.02
    done
    if [ -e verdict ]; then break; fi
    put state RUNNING
    put reason None
    # Only the queue's own variables distinguish a restart from the first start.
    [ "$restarts" = 0 ] || export SLURM_RESTART_COUNT="$restarts"
    SLURM_JOB_ID="$1" sh ./script >>"$(cat output)" 2>&1 </dev/null &
    echo $! >pid
    wait $!
    code=$?
    rm -f pid
    if [ "$(cat verdict 2>/dev/null)" != REQUEUE ]; then break; fi
    rm -f verdict
    put reason BeginTime
    put state PENDING
    restarts=$((restarts + 1))
  done
  case ${code:-0} in
    134 | 137 | 139 | 143) put status $((code - 128)) ;;
    *) put status $((${code:-0} * 256)) ;;
  esac
  if [ -e verdict ]; then put state "$(cat verdict)"; elif [ "$code" = 0 ]; then put state COMPLETED; else
    put reason NonZeroExitCode
    put state FAILED
  fi
}

end() {
  [ -d "jobs/$1" ] && case $(cat "jobs/$1/state") in PENDING | RUNNING) ;; *) false ;; esac || return 0
  put "jobs/$1/verdict" "$2"
  pid=$(cat "jobs/$1/pid" 2>/dev/null) || return 0
  kill -TERM "$pid"
  # Kills a job that ignores SIGTERM, with its children.
  (sleep 1; kill -0 "$pid" && pkill -KILL -P "$pid"; kill -KILL "$pid") >/dev/null 2>&1 &
}

case ${0##*/} in
  sbatch)
    [ ! -e down ] || silent sbatch
    if [ -e late ]; then
      rm late
      echo "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation" >&2
      exit 1
    fi
    if [ -e refuse ]; then
      echo "sbatch: error: Batch job submission failed: $(cat refuse)" >&2
      rm refuse
      exit 1
    fi
    number=1
    until mkdir "jobs/$number" 2>/dev/null; do number=$((number + 1)); done
    echo "$@" >"jobs/$number/arguments"
    for argument; do
      case $argument in
        --job-name=*) echo "${argument#*=}" >"jobs/$number/name" ;;
        --output=*) echo "${argument#*=}" >"jobs/$number/output" ;;
      esac
    done
    cp "$argument" "jobs/$number/script"
    echo PENDING >"jobs/$number/state"
    echo None >"jobs/$number/reason"
    echo 0 >"jobs/$number/status"
    setsid "$FAKE_SLURM/bin/job" "$number" >/dev/null 2>&1 </dev/null &
    if [ -e lost ]; then
      rm lost
      echo "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation" >&2
      exit 1
    fi
    echo "$number"
    ;;
  job) job "$1" ;;
  end) end "$1" "$2" ;;
  squeue)
    [ ! -e down ] || silent squeue
    while [ $# -gt 0 ]; do
      case $1 in
        --name)
          for folder in jobs/*; do
            if [ "$(cat "$folder/name" 2>/dev/null)" = "$2" ]; then echo "${folder#jobs/}"; fi
          done
          exit 0
          ;;
        --jobs)
          if [ ! -d "jobs/$2" ] || [ -e "jobs/$2/forgotten" ]; then
            echo "slurm_load_jobs error: Invalid job id specified" >&2
            exit 1
          fi
          echo "$(cat "jobs/$2/state") $(cat "jobs/$2/status") $(cat "jobs/$2/reason")"
          exit 0
          ;;
      esac
      shift
    done
    ;;
  scancel)
    [ ! -e down ] || silent scancel
    echo "$@" >>scancel.log
    if [ "$1" = --batch ]; then
      [ ! -e "jobs/$3/pid" ] || kill -USR1 "$(cat "jobs/$3/pid")"
    else
      end "$1" CANCELLED
    fi
    ;;
esac
