// Figures.tsx - how the whole system does just now, over all instances. SPDX-License-Identifier: Apache-2.0
import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { metricsQuery } from "../src/react.js";
import type { Client } from "../src/client.js";
import { formatCount, formatMs } from "./text.js";

const ASKED_EVERY_MS = 2000;
const POINTS = 45;

interface Rates {
  readonly last: { readonly at: number; readonly total: number } | null;
  readonly values: readonly number[];
}

/** Votes a second between two looks, and those of the looks before. */
function useRates(total: number | undefined, at: number): readonly number[] {
  const [{ values }, setRates] = useState<Rates>({ last: null, values: [] });
  useEffect(() => {
    if (total === undefined) return;
    setRates(({ last, values: before }) => {
      if (!last || at <= last.at) return { last: last ?? { at, total }, values: before };
      const rate = Math.max(0, ((total - last.total) * 1000) / (at - last.at));
      return { last: { at, total }, values: [...before, rate].slice(-POINTS) };
    });
  }, [total, at]);
  return values;
}

function Sparkline({ values }: { readonly values: readonly number[] }) {
  const top = Math.max(1, ...values);
  const points = values.map((value, at) => {
    const x = ((at + POINTS - values.length) / (POINTS - 1)) * 200;
    return `${x.toFixed(1)},${(46 - (value / top) * 42).toFixed(1)}`;
  });
  const first = points[0]?.split(",")[0];
  return (
    <svg className="spark" viewBox="0 0 200 48" preserveAspectRatio="none" aria-hidden="true">
      <path className="ground" d="M0 46.5H200" />
      {points.length > 1 && <path className="area" d={`M${first},47L${points.join("L")}L200,47Z`} />}
      {points.length > 1 && <path className="line" d={`M${points.join("L")}`} />}
    </svg>
  );
}

function Figure({ name, value, unit }: { readonly name: string; readonly value: string; readonly unit?: string }) {
  return (
    <div className="figure">
      <dt>{name}</dt>
      <dd>{value}{unit && <small> {unit}</small>}</dd>
    </div>
  );
}

export function Figures({ client }: { readonly client: Client }) {
  const { data, dataUpdatedAt, isError } = useQuery({ ...metricsQuery(client), refetchInterval: ASKED_EVERY_MS });
  const rates = useRates(data?.total_votes, dataUpdatedAt);
  const show = (value: number | undefined, format: (value: number) => string) =>
    value === undefined || isError ? "–" : format(value);
  return (
    <section className="panel figures" aria-labelledby="figures" data-stale={isError}>
      <h2 id="figures">Live figures</h2>
      <Sparkline values={rates} />
      <dl>
        <Figure name="votes" value={show(rates.at(-1), (rate) => rate.toFixed(1))} unit="/s" />
        <Figure name="in total" value={show(data?.total_votes, formatCount)} />
        <Figure name="answer, p95" value={show(data?.p95_latency_ms, formatMs)} />
        <Figure name="commit lag" value={show(data?.worker_lag_seconds, (lag) => formatMs(lag * 1000))} />
      </dl>
    </section>
  );
}
