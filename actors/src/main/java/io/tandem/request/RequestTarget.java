package io.tandem.request;

import org.apache.pekko.actor.typed.ActorRef;

/**
 * Where the events of one piece of work go.
 *
 * @param hub the node that owns the request
 * @param requestId the request on that node
 * @param attempt which dispatch of it; answers to an earlier one are ignored
 */
public record RequestTarget(ActorRef<RequestMessage> hub, long requestId, int attempt) {}
