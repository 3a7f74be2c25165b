package io.tandem.routing;

import java.util.Set;

/**
 * A request that needs workers.
 *
 * @param id unique on this node while the request runs
 * @param modelFingerprint of the model it is for
 * @param tokens to have in KV before the next one can be chosen
 * @param maxNewTokens that may be chosen then, at most
 * @param keys names of the leading blocks of those
 * @param session requests of one session prefer one worker; empty = none
 * @param avoid GPUs that refused or failed it; used only when there is no other
 * @param ttftTargetNanos time to first token it should have
 * @param itlTargetNanos time between its tokens it should have
 * @param itlLimitNanos beyond it the request counts as failed by its class; not below the target
 */
public record RouteQuery(
        long id,
        String modelFingerprint,
        int tokens,
        int maxNewTokens,
        PromptKeys keys,
        String session,
        Set<String> avoid,
        long ttftTargetNanos,
        long itlTargetNanos,
        long itlLimitNanos) {}
