import { replay } from "../kit/player.js";
import { buildMemory, memoryLegend } from "./memory.js";

export const view = replay({ name: "memory", legend: () => memoryLegend, build: buildMemory });
