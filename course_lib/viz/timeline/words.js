// What a request does in a step, in a sentence.

import { count, number } from "../kit/format.js";
import { computedAfter, draftsIn, spanAt, tokensIn } from "./spans.js";

function tokensOf(lane, start, number) {
  const last = start + number - 1;
  const which = number === 1 ? `token ${start}` : `tokens ${start}–${last}`;
  return last < lane.num_prompt ? `prompt ${which} of ${lane.num_prompt}` : which;
}

const ended = ([, reason]) => (reason === "abort" ? "aborted" : `finished (${reason})`);

// ranked: whether the requests have several priorities
export function laneWords(data, lane, at, ranked) {
  const about = [];
  if (data.client_names.length > 1) about.push(data.client_names[lane.client]);
  if (ranked) about.push(`priority ${lane.priority}`);
  const who = lane.tag + (about.length ? ` (${about.join(", ")})` : "");
  const span = spanAt(lane, at);
  if (!span) return withoutSpan(lane, at, who);
  const [kind, begin, , start] = span;
  const tokens = tokensIn(span, at);
  const which = tokensOf(lane, computedAfter(span, at) - tokens, tokens);
  const now = lane.done?.[0] === at ? `; ${ended(lane.done)}` : "";
  switch (kind) {
    case "waiting":
      return `${who} waits since step ${begin + 1} with ${count(lane.num_prompt, "prompt token")}.`;
    case "preempted":
      return `${who} was preempted in step ${begin + 1} and waits; its computed tokens were thrown away.`;
    case "swapped":
      return `${who} was preempted in step ${begin + 1} and waits; ${count(start, "token")} of it are in CPU memory.`;
    case "speculate": {
      const [drafted, accepted] = draftsIn(span, at);
      const first = computedAfter(span, at) - accepted - 1;
      const drafts = `${count(drafted, "drafted token")}, ${accepted || "none"} accepted`;
      return `${who}: decode of token ${first} with ${drafts}${now}.`;
    }
    case "idle":
      return `${who} runs, but this step had no tokens for it.`;
    default:
      return `${who}: ${kind} of ${which}${now}.`;
  }
}

function withoutSpan(lane, at, who) {
  if (at < lane.begin) return `${who} arrives in step ${lane.begin + 1}.`;
  if (lane.done && lane.done[0] <= at) {
    const verb = lane.done[1] === "abort" ? "was aborted" : ended(lane.done);
    return `${who} ${verb} in step ${lane.done[0] + 1}.`;
  }
  return `${who} has nothing in this step.`;
}

// The figures of a step, in a line.
export function stepFigures(data, at) {
  const [tokens, running, waiting] = data.sums[at];
  const parts = [
    data.token_budget ? `${number(tokens)} of ${count(data.token_budget, "token")}` : count(tokens, "token"),
    data.max_num_seqs
      ? `${running} of ${count(data.max_num_seqs, "sequence")} run`
      : `${count(running, "sequence")} run`,
    `${waiting} wait`,
  ];
  if (data.memory) {
    const [used] = data.memory.sums[at];
    parts.push(`${number(used)} of ${count(data.memory.num_blocks, "block")}`);
  }
  return parts.join(" · ");
}
