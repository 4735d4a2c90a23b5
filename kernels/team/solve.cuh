// The parts that the team kernels have in common: a team's place and memory, and the refined solve
// of M x = rhs with a factor that is already there.

#ifndef MECHANISTIC_TEAM_SOLVE_CUH
#define MECHANISTIC_TEAM_SOLVE_CUH

#include "team/residual.cuh"
#include "team/separators.cuh"

// The place of a thread: its team, and what the team has.
template <Kind KIND>
struct TeamContext {
    const TeamPlan &plan;
    const Sizes sizes;
    const Sizes of_chunk;  // the same in chunk kernels, as the team's chunk sees them
    const Places places;
    Team<KIND> team;
    int chunk;      // of the system
    int64_t index;  // of the team in the launch, or of the block that shares a system
    bool idle;      // whether the thread is in no team, or its team has no system
    SharedTable pair, triple;
    char *memory;    // of the team
    double *notes;   // (team, 2): for sums over the team
    double *shares;  // (C, 2): for sums over the chunks

    // Finds the team of the thread. All threads of the block must call it.
    __device__ explicit TeamContext(const TeamPlan &plan)
        : plan(plan),
          sizes(plan.problem),
          of_chunk(seen_by_chunk(sizes, plan)),
          places(band()),
          chunk(0) {
        extern __shared__ double shared_memory[];
        char *start = reinterpret_cast<char *>(shared_memory);
        if (KIND == GLOBAL) {
            start = static_cast<char *>(plan.memory) +
                    int64_t(blockIdx.x) * (plan.common_bytes + plan.team_bytes);
        }
        const TeamLayout &layout = plan.layout;
        const double weight = plan.problem.weight_smoothness;
        const SharedTable two = SharedTable::filled(start, layout.pair, plan.problem.pair, 2,
                                                    sizes.derivatives, weight);
        const SharedTable three = SharedTable::filled(start, layout.triple, plan.problem.triple, 3,
                                                      sizes.derivatives, weight);
        pair = two;
        triple = three;
        shares = array(start, layout.shares);

        int in_block = 0, per_block = 1;
        team.size = plan.team_threads;
        team.rank = threadIdx.x;
        team.lanes = 0xffffffffu;
        bool member = true;
        if (KIND == WARP || KIND == CHUNK) {
            const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, per_warp = 32 / team.size;
            const int in_warp = lane / team.size;
            team.rank = lane - in_warp * team.size;
            team.lanes = (0xffffffffu >> (32 - team.size)) << (in_warp * team.size);
            in_block = warp * per_warp + in_warp;
            per_block = blockDim.x / 32 * per_warp;
            member = in_warp < per_warp;
        }
        if (KIND == CHUNK) {
            // No thread of the block is idle.
            chunk = in_block;
            per_block = 1;
        }
        index = int64_t(blockIdx.x) * per_block + (KIND == CHUNK ? 0 : in_block);
        idle = !member || index * plan.group >= plan.problem.batch;
        memory = start + plan.common_bytes + in_block * plan.team_bytes;
        notes = array(memory, layout.notes);
    }

    // The team takes its systems one after another, from the first one to before the end.
    __device__ int64_t first_system() const { return index * plan.group; }
    __device__ int64_t end_of_systems() const {
        return min(first_system() + plan.group, plan.problem.batch);
    }

    __device__ const Sizes &band() const {
        if constexpr (KIND == CHUNK) {
            return of_chunk;
        } else {
            return sizes;
        }
    }

    // Waits for all threads that work on the system, and makes their writes visible.
    __device__ void sync() const {
        if (KIND == CHUNK) {
            __syncthreads();
        } else {
            team.sync();
        }
    }

    // Returns whether this team does what is done once for a system.
    __device__ bool leads() const { return chunk == 0; }

    // Merges all threads' values in the order of the threads; the result is the same on all of
    // them.
    template <class T, class Merge>
    __device__ T gather(T mine, Merge merge) const {
        static_assert(sizeof(T) <= 2 * sizeof(double), "room for the notes of a thread");
        T *all = reinterpret_cast<T *>(notes);
        all[team.rank] = mine;
        team.sync();
        T total = all[0];
#pragma unroll 1
        for (int i = 1; i < team.size; ++i) {
            merge(total, all[i]);
        }
        if (KIND == CHUNK) {
            T *chunks = reinterpret_cast<T *>(shares);
            if (team.rank == 0) {
                chunks[chunk] = total;
            }
            sync();
            total = chunks[0];
#pragma unroll 1
            for (int k = 1; k < plan.chunks; ++k) {
                merge(total, chunks[k]);
            }
        }
        sync();
        return total;
    }
    __device__ double sum(double mine) const {
        return gather(mine, [](double &total, double other) { total += other; });
    }

  private:
    __device__ static Sizes seen_by_chunk(const Sizes &sizes, const TeamPlan &plan) {
        if constexpr (KIND == CHUNK) {
            return sizes.of_chunk(threadIdx.x / plan.team_threads, plan.chunks);
        } else {
            return sizes;
        }
    }
};

// The solve of M x = rhs with a factor that is already there, and its refinement.
template <Kind KIND>
struct RefinedSolve {
    const TeamContext<KIND> &context;
    const Sizes sizes;  // of the team's chunk
    const Team<KIND> team;
    Substitution<KIND> substitution;
    Residual<KIND> residual;
    double *factor;       // of the system
    double *substituted;  // (unknowns)
    double *iterate;      // (unknowns)

    // Solves Rᵀ v = rhs, with rhs[t, i] = given(t, i), the slack's as given(N, 0), and, with a
    // residual, AᵀW²(β − A·iterate) in addition.
    template <class Given>
    __device__ void forward(bool with_residual, Given given) {
        const int p = sizes.block;
        const int c = sizes.border, s = sizes.spikes;
        substitution.fetch(factor, sizes.first);
        if (KIND != CHUNK) {
            substitution.fetch_border(factor);
        }
        substitution.start_forward();
        double *record = this->record();
#pragma unroll 1
        for (int t = sizes.first; t < sizes.visited(); ++t) {
            const bool in_border = t == sizes.blocks;
            if (t + 1 < sizes.end) {
                substitution.fetch(factor, t + 1);
            }
            double *x = substitution.x;
#pragma unroll 1
            for (int i = team.rank; i < p; i += team.size) {
                x[i] = given(t, i);
            }
            if (with_residual) {
                residual.add(t, iterate, x);
            }
            if (in_border) {
#pragma unroll 1
                for (int i = team.rank; i < p; i += team.size) {
                    substitution.border[s + i] += x[i];
                }
            } else if (t >= sizes.end) {
                // A separator gets the rest of its right-hand side.
                const int first = (t - sizes.end) * p;
#pragma unroll 1
                for (int i = team.rank; i < p; i += team.size) {
                    record[first + i] = x[i] - substitution.taken_off(t)[i];
                }
                team.sync();
            } else {
                substitution.arrive(t + 1 >= sizes.end);
                substitution.forward(factor, t, substituted);
                // The team waits before the next block row takes the place of this one.
                team.sync();
            }
        }
        if (c - s > sizes.closing) {
            const double defects = with_residual ? context.sum(residual.slack) : 0;
            if (team.rank == 0 && sizes.end == sizes.blocks) {
                substitution.border[s + sizes.closing] += given(sizes.points, 0) + defects;
            }
        }
        if constexpr (KIND == CHUNK) {
            team.sync();
#pragma unroll 1
            for (int i = team.rank; i < c; i += team.size) {
                record[s + i] = substitution.border[i];
            }
            context.sync();
            if (context.leads()) {
                of_separators([](Separators<KIND> &system) { system.forward(); });
            }
        } else {
            substitution.forward_border(substituted);
        }
    }

    // Solves R x = v, once v is there, by Substitution::backward, or by the same chunk by chunk.
    template <class Emit, class After>
    __device__ void backward(int probe, Emit emit, After after) const {
        if constexpr (KIND == CHUNK) {
            if (context.leads()) {
                of_separators([&](Separators<KIND> &system) { system.backward(probe, emit); });
            }
            context.sync();
            const RecordLayout layout(context.sizes, context.plan.chunks);
            const double *solution =
                workspace() + context.plan.chunks * layout.values + layout.unknowns;
            substitution.backward_chunk(factor, substituted, solution, layout.unknowns,
                                        context.chunk, probe, emit, after);
        } else {
            substitution.backward(factor, substituted, probe, emit, after);
        }
    }

    // Calls work(system) for the system of the separators.
    template <class Work>
    __device__ void of_separators(Work work) const {
        const RecordLayout layout(context.sizes, context.plan.chunks);
        double *after = factor + int64_t(sizes.blocks) * context.places.block_values(sizes.block);
        Separators<KIND> system(context.sizes, context.plan.chunks, layout, team, context.memory,
                                context.plan.layout.separators, after, workspace());
        work(system);
    }

    // Returns what the chunks of the system exchange, and the team's part of it.
    __device__ double *workspace() const {
        return context.plan.separators + context.index * context.plan.separator_values;
    }
    __device__ double *record() const {
        return workspace() +
               context.chunk * RecordLayout(context.sizes, context.plan.chunks).values;
    }
};

// The structures of a team that solve with a factor at hand.
template <Kind KIND>
struct SolveSetup {
    const TeamContext<KIND> &context;
    Rows<KIND> rows;
    Banded<KIND> banded;
    Substitution<KIND> substitution;
    Residual<KIND> residual;

    __device__ explicit SolveSetup(const TeamContext<KIND> &context)
        : context(context),
          rows(context.plan.problem, context.sizes, context.team, context.pair, context.triple,
               context.memory, context.plan.layout.rows),
          banded(context.band(), context.places, context.team, context.memory,
                 context.plan.layout.band),
          substitution(context.band(), context.places, context.team, banded, context.memory,
                       context.plan.layout.band),
          residual(rows, context.memory, context.plan.layout.residual) {}

    // Returns the solve of one system, refining `iterate`.
    __device__ RefinedSolve<KIND> solve(int64_t system, double *iterate) const {
        const TeamPlan &plan = context.plan;
        double *factor = plan.factor + system * plan.factor_values;
        double *substituted = plan.substituted + context.index * plan.unknowns;
        return {context,  context.band(), context.team, substitution,
                residual, factor,         substituted,  iterate};
    }
};

#endif
