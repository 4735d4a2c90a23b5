// What the team kernels have in common: a team's place and memory, and the refined solve of M x = rhs
// with a factor at hand.

#ifndef MECHANISTIC_TEAM_SOLVE_CUH
#define MECHANISTIC_TEAM_SOLVE_CUH

#include "residual.cuh"
#include "substitution.cuh"

// Where a thread stands: its team, and what the team has.
template <Kind KIND>
struct Desk {
    const TeamPlan &plan;
    const Sizes sizes;
    const Places places;
    Team<KIND> team;
    int64_t index;  // of the team in the launch
    bool idle;      // whether the thread is in no team, or its team has no system
    SharedTable pair, triple;
    Carver memory;  // of the team
    double *notes;  // (team, 2): for sums over the team

    // All threads of the block must come here.
    __device__ explicit Desk(const TeamPlan &plan) : plan(plan), sizes(plan.problem), places(sizes)
    {
        extern __shared__ double shared_memory[];
        char *start = reinterpret_cast<char *>(shared_memory);
        if (KIND == GLOBAL)
            start = static_cast<char *>(plan.memory) +
                    int64_t(blockIdx.x) * (plan.common_bytes + plan.team_bytes);
        Carver common{start};
        const double weight = plan.problem.weight_smoothness;
        pair.fill(common, plan.problem.pair, 2, sizes.derivatives, weight);
        triple.fill(common, plan.problem.triple, 3, sizes.derivatives, weight);

        int in_block = 0, per_block = 1;
        team.size = plan.team_threads;
        team.rank = threadIdx.x;
        team.lanes = 0xffffffffu;
        bool member = true;
        if (KIND == WARP) {
            const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, per_warp = 32 / team.size;
            const int in_warp = lane / team.size;
            team.rank = lane - in_warp * team.size;
            team.lanes = (0xffffffffu >> (32 - team.size)) << (in_warp * team.size);
            in_block = warp * per_warp + in_warp;
            per_block = blockDim.x / 32 * per_warp;
            member = in_warp < per_warp;
        }
        index = int64_t(blockIdx.x) * per_block + in_block;
        idle = !member || index * plan.group >= plan.problem.batch;
        memory.next = start + plan.common_bytes + in_block * plan.team_bytes;
        notes = memory.take<double>(2 * team.size);
    }

    // Calls work(system) for every system of the team, one after another.
    template <class Work>
    __device__ void for_each_system(Work work) const
    {
        const int64_t first = index * plan.group, end = min(first + plan.group, plan.problem.batch);
#pragma unroll 1
        for (int64_t system = first; system < end; ++system)
            work(system);
    }

    // All threads' values put together in the order of the threads; the same on all of them.
    template <class T, class Merge>
    __device__ T gather(T mine, Merge merge) const
    {
        static_assert(sizeof(T) <= 2 * sizeof(double), "room for the notes of a thread");
        T *all = reinterpret_cast<T *>(notes);
        all[team.rank] = mine;
        team.sync();
        T total = all[0];
#pragma unroll 1
        for (int i = 1; i < team.size; ++i)
            merge(total, all[i]);
        team.sync();
        return total;
    }
    __device__ double sum(double mine) const
    {
        return gather(mine, [](double &total, double other) { total += other; });
    }
};

// Solves with a factor at hand.
template <Kind KIND>
struct RefinedSolve {
    const Desk<KIND> &desk;
    const Sizes &sizes;
    const Team<KIND> team;
    Substitution<KIND> substitution;
    Residual<KIND> residual;
    double *factor;       // of the system
    double *substituted;  // (unknowns)
    double *iterate;      // (unknowns)

    // Rᵀ v = rhs, with rhs[t, i] = given(t, i), the slack's as given(N, 0), and, with a residual,
    // AᵀW²(β − A·iterate) in addition.
    template <class Given>
    __device__ void forward(bool with_residual, Given given)
    {
        const int p = sizes.block;
        substitution.fetch(factor, 0);
        substitution.fetch_border(factor);
        substitution.start_forward();
#pragma unroll 1
        for (int t = 0; t < sizes.points; ++t) {
            const bool in_border = t == sizes.blocks;
            if (t + 1 < sizes.blocks)
                substitution.fetch(factor, t + 1);
            double *x = substitution.x;
#pragma unroll 1
            for (int i = team.rank; i < p; i += team.size)
                x[i] = given(t, i);
            if (with_residual)
                residual.add(t, iterate, x);
            if (in_border) {
#pragma unroll 1
                for (int i = team.rank; i < p; i += team.size)
                    substitution.border[i] += x[i];
            } else {
                substitution.arrive(t + 1 >= sizes.blocks);
                substitution.forward(factor, t, substituted);
                // Before the next block row comes into the place of this one.
                team.sync();
            }
        }
        if (sizes.border > sizes.closing) {
            const double defects = with_residual ? desk.sum(residual.slack) : 0;
            if (team.rank == 0)
                substitution.border[sizes.closing] += given(sizes.points, 0) + defects;
        }
        substitution.forward_border(substituted);
    }
};

// The memory of a team, cut up for solves with a factor at hand.
template <Kind KIND>
struct Bench {
    const Desk<KIND> &desk;
    Rows<KIND> rows;
    Carver rest;
    Banded<KIND> banded;
    Substitution<KIND> substitution;
    Residual<KIND> residual;

    // What follows `rest` is the residual's, whose turn is another than that of who takes it.
    __device__ explicit Bench(const Desk<KIND> &desk)
        : desk(desk),
          rows(desk.plan.problem, desk.sizes, desk.team, desk.pair, desk.triple, desk.memory),
          rest(rows.rest),
          banded(desk.sizes, desk.places, desk.team, rest),
          substitution(desk.sizes, desk.places, desk.team, banded, rest),
          residual(rows, Carver(rest))
    {
    }

    // Of one system, refining `iterate`.
    __device__ RefinedSolve<KIND> solve(int64_t system, double *iterate) const
    {
        const TeamPlan &plan = desk.plan;
        double *factor = plan.factor + system * plan.factor_values;
        double *substituted = plan.substituted + desk.index * plan.unknowns;
        return {desk, desk.sizes, desk.team, substitution, residual, factor, substituted, iterate};
    }
};

#endif
