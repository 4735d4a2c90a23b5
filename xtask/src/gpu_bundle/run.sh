#!/usr/bin/env bash
# Tries and measures this library on the machine's GPU, step by step; README.md beside this file says
# what the steps are. Needs a CUDA driver and nothing else; what other tools can do is left out
# where there are none.
set -u -o pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() {
    cat <<TEXT
usage: run.sh [--simulated] [--out DIRECTORY] [--within SECONDS] [STEP ...]

Runs the steps of these names, or whose names begin so (tests, sanitizer-memcheck), or all; prints a
table and writes it to DIRECTORY/summary.json, beside a log and JSON of each step. The exit status is
1 if a step failed or took too long.

  --simulated   on the simulated driver, with tiny sizes: tries this script, not a card
  --out         where results go (default: results in the working directory)
  --within      seconds for all steps together (default: 570, simulated 3000); a step is given what is
                left of them, and left out when nothing is
  --list        the names of the steps, their limits in seconds, and what they do
TEXT
}

# Name, limit in seconds, what it does. The order is that of importance.
steps=(
    "card|60|the card, its driver, how fast it copies and computes, the time to the first solution"
    "program|40|the program finds the device, and solves a golden file on it and on the CPU"
    "tests-conformance-auto|60|the suite of every backend, on the path that the plan chooses"
    "tests-conformance-thread|60|the same, a system a thread"
    "tests-conformance-chunk|60|the same, a chunk of the time points a thread"
    "tests-conformance-span|60|the same, chunks of the time points spread over blocks"
    "tests-conformance-team|60|the same, a system a team"
    "tests-conformance-team-chunk|60|the same, a chunk of the time points a team"
    "tests-backend|60|unit tests of the CUDA backend"
    "tests-arrays|30|arrays that stay on the device, half precision"
    "tests-products|30|matrix products, by cuBLAS and by the library's own kernels"
    "tests-modules|20|kernels that are read from files"
    "tests-graphs|20|CUDA graphs that capture a solve and its gradients"
    "tests-nonlinear|30|nonlinear equations"
    "tests-tape|60|the tape and training"
    "training|40|times of a training step, with and without cuBLAS"
    "times|160|times of solves and gradients, data on the device"
    "counters|60|what Nsight Compute counts of ten kernels, beside the simulated driver"
    "sanitizer-memcheck|40|compute-sanitizer, tiny batches"
    "sanitizer-racecheck|40|the same"
    "sanitizer-synccheck|40|the same"
    "sanitizer-initcheck|40|the same"
    "pytorch|60|block-tridiagonal systems of the same sizes in PyTorch"
)

# Tests that make no sense on a card.
left_out=(
    "cuda_devices|two devices, which the simulated driver makes of the environment"
    "cuda_faults|failures of the driver, which only the simulated one can be told to have"
    "cuda_parts|a device of 2 MB, which the simulated driver makes of the environment"
    "tape_faults|as cuda_faults, and the copies of a step are counted by letting them fail"
    "cuda_launches: every_path_runs_its_own_kernels|the simulated driver's list of launches"
    "mnn: cli/device|the program with a simulated driver whose devices the tests choose"
    "cuda-sim, kernel-figures, fuzz|tests of the simulated driver, of its counters, of reading files"
    "experiments|minutes of training each; the program and the tape are tried above"
    "reports of sanitizers after each test|a driver has none: the steps sanitizer-* look instead"
)

# What a step says in the table.
remark() { printf '%s\n' "$*" | tee "$out/$step.remark"; }
# Ends a step that cannot run here.
skip() {
    remark "$*"
    exit 3
}
needs_a_card() { [ "$simulated" = 0 ] || skip "needs a card"; }

# Runs a program with the simulated driver.
with_simulator() { LD_LIBRARY_PATH="$here/simulated" "$@"; }

# The measuring program, whose JSON is named after the step or the first argument.
bench() {
    local name=$1
    shift
    "$here/bin/gpu-bench" "$@" ${tiny:+"$tiny"} --json "$out/$name.json"
}

# Runs a binary of tests: all of these names with a card, those of the names after -- without.
tests() {
    local binary=$1 full=() few=() to=full
    shift
    for argument in "$@"; do
        case $argument in
            --) to=few ;;
            *) if [ $to = full ]; then full+=("$argument"); else few+=("$argument"); fi ;;
        esac
    done
    local chosen=("${full[@]}")
    [ "$simulated" = 0 ] || chosen=("${few[@]}")
    "$here/test-binaries/$binary" --show-output "${chosen[@]}" 2>&1 | tee "$out/$step.tests"
    local status=${PIPESTATUS[0]}
    remark "$(sed -n 's/^test result: //p' "$out/$step.tests")" \
        "$(sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$out/$step.tests" | paste -sd ' ')"
    # A name that no test has any more must not pass for a success.
    grep -Eq '^test result: .* [1-9][0-9]* passed' "$out/$step.tests" && return "$status"
    return 1
}

step_card() {
    nvidia-smi 2>/dev/null || echo "no nvidia-smi"
    bench card card || return
    # The driver keeps its translations where this says, and there are none yet.
    export CUDA_CACHE_PATH="$out/driver-cache-$$"
    bench first-without-cache first && bench first-with-cache first || return
    remark "$(sed -n 's/^| card | \(.*\) |  |$/\1/p' "$out/card.log")," \
        "$(sed -n 's/^| \(copies\|multiply-adds\).* | \(.*\) | \(.*\) |$/\2 \3/p' "$out/card.log" | paste -sd ,)," \
        "first solution $(sed -n 's/^| first solution | \(.*\) |$/\1 ms/p' "$out/card.log" | paste -sd /) without and with cache"
}

step_program() {
    "$here/bin/mnn" info || return
    local file="$here/tests/golden/ls_system2_order2.safetensors" device
    for device in cpu cuda; do
        "$here/bin/mnn" solve "$file" --device "$device" -o "$out/golden-$device.safetensors" || return
    done
    remark "solves a golden file on both"
}

step_tests_conformance_auto() { tests conformance cuda:: -- cuda::solutions_and_gradients cuda::corner_shapes; }
step_tests_conformance_thread() { tests conformance cuda_thread:: -- cuda_thread::solutions_and_gradients; }
step_tests_conformance_chunk() { tests conformance cuda_chunk:: -- cuda_chunk::solutions_and_gradients; }
step_tests_conformance_span() { tests conformance cuda_span:: -- cuda_span::solutions_and_gradients; }
step_tests_conformance_team() { tests conformance cuda_team:: -- cuda_team::solutions_and_gradients; }
step_tests_conformance_team_chunk() { tests conformance cuda_team_chunk:: -- cuda_team_chunk::solutions_and_gradients; }
step_tests_backend() { tests mechanistic backend::cuda -- backend::cuda::tests::thread:: backend::cuda::driver; }
step_tests_arrays() { tests cuda -- device_arrays; }
step_tests_products() {
    tests cuda_launches --skip every_path_runs_its_own_kernels -- --skip every_path_runs_its_own_kernels
}
step_tests_modules() { tests cuda_modules --; }
step_tests_graphs() { tests cuda_graphs --; }
step_tests_nonlinear() { tests nonlinear a_gpu_finds -- a_gpu_finds; }
step_tests_tape() { tests tape --skip cpu:: -- training; }

step_training() {
    MECHANISTIC_CUBLAS=off bench training-without-cublas training || return
    if [ "$simulated" = 0 ] && [ -z "$cublas" ]; then
        remark "without cuBLAS only: there is none"
        return
    fi
    MECHANISTIC_CUBLAS=on bench training-with-cublas training || return
    remark "with and without cuBLAS"
}

step_times() {
    bench times times --estimates "$here/docs/kernels.md" --seconds $((limit - 25))
    local status=$?
    remark "$(grep -E '^[0-9]+ of [0-9]+ rows' "$out/times.log" | cut -d ';' -f 1)"
    return $status
}

# The metrics are those that `gpu-bench counters` reads.
metrics=smsp__inst_executed.sum,smsp__thread_inst_executed_per_inst_executed.ratio
metrics+=,l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum,l1tex__t_sectors_pipe_lsu_mem_global_op_st.sum
metrics+=,l1tex__data_bank_conflicts_pipe_lsu_mem_shared.sum,smsp__inst_executed_op_local_ld.sum
metrics+=,dram__bytes.sum,smsp__issue_active.avg.pct_of_peak_sustained_active,gpu__time_duration.sum

step_counters() {
    export CUDA_SIM_COUNTERS="$out/simulated-counters.json"
    with_simulator "$here/bin/gpu-bench" counted ${tiny:+"$tiny"} || return
    unset CUDA_SIM_COUNTERS
    local ncu=
    [ "$simulated" = 1 ] || ncu=$(tool ncu)
    if [ -z "$ncu" ]; then
        bench counters counters --simulated "$out/simulated-counters.json" || return
        remark "simulated figures only: no ncu, or no card"
        return
    fi
    "$ncu" --clock-control none --csv --page raw --print-units base --metrics "$metrics" --log-file "$out/ncu.csv" \
        --kernel-name 'regex:thread_|team_|sum_partials' "$here/bin/gpu-bench" counted || cat "$out/ncu.csv"
    bench counters counters --ncu "$out/ncu.csv" --simulated "$out/simulated-counters.json" || return
    remark "beside the simulated driver's"
}

sanitize() {
    local sanitizer=
    sanitizer=$(tool compute-sanitizer)
    [ -n "$sanitizer" ] || skip "no compute-sanitizer"
    "$sanitizer" --tool "$1" --error-exitcode 9 "$here/bin/gpu-bench" tiny 2>&1 | tee "$out/$step.text"
    local status=${PIPESTATUS[0]}
    remark "$(grep -E 'ERROR SUMMARY|RACECHECK SUMMARY' "$out/$step.text" | tail -n 1 | sed 's/^=* *//')"
    return "$status"
}

step_sanitizer_memcheck() {
    [ "$simulated" = 0 ] && { sanitize memcheck; return; }
    # The simulated driver looks by itself for all that the four tools look for.
    "$here/bin/gpu-bench" tiny 2>&1 | tee "$out/$step.text" || return
    if grep -F '[cuda-sim]' "$out/$step.text"; then return 1; fi
    remark "no reports of the simulated driver; compute-sanitizer needs a card"
}
step_sanitizer_racecheck() { needs_a_card && sanitize racecheck; }
step_sanitizer_synccheck() { needs_a_card && sanitize synccheck; }
step_sanitizer_initcheck() { needs_a_card && sanitize initcheck; }

step_pytorch() {
    needs_a_card
    python3 -c 'import torch; raise SystemExit(not torch.cuda.is_available())' 2>/dev/null ||
        skip "no PyTorch that finds the card"
    python3 "$here/pytorch.py" --seconds $((limit - 20)) --json "$out/pytorch.json" || return
    remark "$(tail -n 1 "$out/pytorch.log")"
}

# The path of one of NVIDIA's tools, if the machine has it.
tool() {
    command -v "$1" 2>/dev/null && return
    local path
    for path in /usr/local/cuda*/bin/"$1" /opt/nvidia/*/*/"$1"; do
        if [ -x "$path" ]; then
            echo "$path"
            return
        fi
    done
}

# The directory of cuBLAS, if the machine has it: the system's, the toolkit's, or that of PyTorch.
find_cublas() {
    local file
    for file in $( (ldconfig -p || /sbin/ldconfig -p) 2>/dev/null | sed -n 's/.*libcublas\.so.* => //p') \
        /usr/local/cuda*/lib64/libcublas.so.* \
        $(python3 -c 'import sys; [print(path + "/nvidia/*/lib/libcublas.so.*") for path in sys.path if path]' 2>/dev/null); do
        if [ -e "$file" ]; then
            dirname "$file"
            return
        fi
    done
}

simulated=0 out=results within= step='' limit=0 wanted=()
while [ $# -gt 0 ]; do
    case $1 in
        --simulated) simulated=1 ;;
        --out | --within | --step | --limit)
            [ $# -ge 2 ] || { usage >&2; exit 2; }
            declare "${1#--}=$2"
            shift
            ;;
        --list)
            printf '%s\n' "${steps[@]}" | while IFS='|' read -r name seconds what; do
                printf '%-30s %4s  %s\n' "$name" "$seconds" "$what"
            done
            exit 0
            ;;
        -h | --help) usage && exit 0 ;;
        -*) usage >&2 && exit 2 ;;
        *) wanted+=("$1") ;;
    esac
    shift
done

# This script runs itself once for each step, under a limit of time.
if [ -n "$step" ]; then
    tiny=
    [ "$simulated" = 0 ] || tiny=--tiny
    "step_${step//-/_}"
    exit
fi

for name in "${wanted[@]}"; do
    known=0
    for entry in "${steps[@]%%|*}"; do [[ $entry == "$name"* ]] && known=1; done
    if [ $known = 0 ]; then
        echo "run.sh: no step is called $name; --list has the names" >&2
        exit 2
    fi
done
if [[ ! ${within:-1} =~ ^[0-9]+$ ]]; then
    echo "run.sh: --within takes seconds, not $within" >&2
    exit 2
fi
mkdir -p "$out" || exit 2
out=$(cd "$out" && pwd)

# Tests take this machine's driver, and read files of this folder instead of those of a checkout.
export MECHANISTIC_TEST_GPU=1 CARGO_MANIFEST_DIR=$here
export CUDA_CACHE_PATH=$out/driver-cache cublas=
if [ $simulated = 1 ]; then
    export LD_LIBRARY_PATH=$here/simulated
    : "${within:=3000}"
else
    cublas=$(find_cublas)
    export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:-}${cublas:+${LD_LIBRARY_PATH:+:}$cublas}"
    : "${within:=570}"
    "$here/bin/mnn" info >"$out/info.txt" 2>&1
    if ! grep -q 'cuda:0 (' "$out/info.txt" || grep -q 'no cuda:0 (' "$out/info.txt"; then
        cat "$out/info.txt"
        echo "run.sh: no CUDA device that can be used; --simulated tries the script without" >&2
        exit 2
    fi
fi

quoted() { printf '"%s"' "$(printf '%s' "$1" | tr '\n\t' '  ' | sed 's/[\\"]/\\&/g')"; }

# `timeout` puts a step into a group of its own, which Ctrl-C does not reach.
running=
trap '[ -z "$running" ] || kill -TERM "$running" 2>/dev/null; exit 130' INT TERM

failures=0 lines=() objects=()
for entry in "${steps[@]}"; do
    IFS='|' read -r name limit what <<<"$entry"
    if [ ${#wanted[@]} -gt 0 ]; then
        chosen=0
        for prefix in "${wanted[@]}"; do [[ $name == "$prefix"* ]] && chosen=1; done
        [ $chosen = 1 ] || continue
    fi
    # The simulated driver is some thousand times slower than a card.
    [ $simulated = 0 ] || limit=$((limit * 10))
    left=$((within - SECONDS))
    [ "$limit" -le "$left" ] || limit=$left
    begin=$SECONDS
    rm -f "$out/$name.remark"
    if [ "$limit" -lt 30 ] && [ "$limit" = "$left" ]; then
        outcome="left out" text="no time left of $within s"
    else
        echo "== $name: $what"
        arguments=(--step "$name" --limit "$limit" --out "$out")
        [ $simulated = 0 ] || arguments+=(--simulated)
        rm -f "$out/$name.json"
        timeout --kill-after=5 "$limit" bash "$here/run.sh" "${arguments[@]}" >"$out/$name.log" 2>&1 &
        running=$!
        wait "$running"
        status=$?
        running=
        case $status in
            0) outcome=passed ;;
            3) outcome=skipped ;;
            124 | 137) outcome="too long" ;;
            *) outcome=FAILED ;;
        esac
        text=$(tail -n 1 "$out/$name.remark" 2>/dev/null)
        case $outcome in
            "too long") text="stopped after $limit s" ;;
            FAILED) tail -n 25 "$out/$name.log" && text="${text:-$(tail -n 1 "$out/$name.log")}" ;;
        esac
        case $outcome in FAILED | "too long") failures=$((failures + 1)) ;; esac
    fi
    seconds=$((SECONDS - begin))
    lines+=("$(printf '%-30s %-9s %5s  %s' "$name" "$outcome" "$seconds" "$text")")
    objects+=("{\"step\": $(quoted "$name"), \"outcome\": $(quoted "$outcome"), \"seconds\": $seconds, \"remark\": $(quoted "$text")}")
done

left_out_objects=()
for entry in "${left_out[@]}"; do
    left_out_objects+=("{\"test\": $(quoted "${entry%%|*}"), \"reason\": $(quoted "${entry#*|}")}")
done
joined() { local IFS=$'\x1f'; printf '%s' "$*" | sed $'s/\x1f/,\\\n    /g'; }
{
    printf '{\n  "machine": %s,\n  "date": %s,\n' "$(quoted "$(uname -n)")" "$(quoted "$(date -u +%FT%TZ)")"
    printf '  "bundle": %s,\n  "simulated": %s,\n' "$(quoted "$(cat "$here/BUNDLE")")" \
        "$([ $simulated = 1 ] && echo true || echo false)"
    printf '  "steps": [\n    %s\n  ],\n' "$(joined "${objects[@]}")"
    printf '  "left_out": [\n    %s\n  ]\n}\n' "$(joined "${left_out_objects[@]}")"
} >"$out/summary.json"

echo
printf '%-30s %-9s %5s  %s\n' step outcome s remark
printf '%s\n' "${lines[@]}"
echo
echo "Tests that are left out on a card:"
printf '%s\n' "${left_out[@]}" | sed 's/^/* /; s/|/: /'
echo
if [ $simulated = 1 ]; then echo "On the simulated driver: no time above says anything about a card."; fi
echo "$failures step(s) failed; results are in $out"
[ $failures = 0 ]
