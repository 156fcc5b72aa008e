// openapi.ts - generated from pipelines/openapi.json by `npm run generate`; not edited by hand.
// SPDX-License-Identifier: Apache-2.0
export interface paths {
    "/api/votes": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Vote, change the vote, or take it back.
         * @description The same vote again takes it back; `none` takes back whatever there is; with `toggle` false the vote is set.
         */
        post: operations["castVote"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/votes/status/{request_id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The whole life of one of the caller's votes. */
        get: operations["getVoteStatus"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/votes/metrics": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Figures over all instances. */
        get: operations["getVoteMetrics"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/votes/user": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The caller's votes, newest first, those ahead of their commit included. */
        get: operations["getUserVotes"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/projects/{project_id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** A project's committed counts. */
        get: operations["getProject"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/leaderboard": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Best community_score first. */
        get: operations["getLeaderboard"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/openapi.json": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** This document. */
        get: operations["getOpenapi"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        Vote: {
            project_id: string;
            /** @enum {unknown} */
            vote_type: "up" | "down" | "none";
            /** @default true */
            toggle: boolean;
            /** @description A label for A/B comparisons. */
            variant?: string | null;
        };
        VoteAnswer: {
            /** @constant */
            status: "success";
            message: string;
            data: {
                id: string;
                upvotes: number;
                downvotes: number;
                voteCount: number;
                /** @enum {unknown} */
                user_vote: "up" | "down" | null;
                /** Format: uuid */
                request_id: string;
                /** @enum {unknown} */
                action: "created" | "changed" | "removed" | "unchanged";
            };
        };
        StatusAnswer: {
            /** @constant */
            status: "success";
            data: {
                /** Format: uuid */
                request_id: string;
                /** @enum {unknown} */
                state: "pending" | "committed" | "reconciled" | "superseded" | "failed";
                project_id: string;
                /** @enum {unknown} */
                vote_type: "up" | "down" | "none";
                /** @enum {unknown} */
                action: "created" | "changed" | "removed" | "unchanged";
                /** Format: date-time */
                accepted_at: string;
                partition: number | null;
                offset: number | null;
                /** Format: date-time */
                committed_at: string | null;
                version: number | null;
                commit_latency_ms: number | null;
                error: string | null;
            };
        };
        Metrics: {
            total_votes: number;
            total_errors: number;
            success_rate: number;
            avg_latency_ms: number;
            last_latency_ms: number;
            p50_latency_ms: number;
            p95_latency_ms: number;
            p99_latency_ms: number;
            queue_depth: number;
            worker_lag_seconds: number;
        };
        UserVotesAnswer: {
            /** @constant */
            status: "success";
            data: {
                votes: {
                    project_id: string;
                    /** @enum {unknown} */
                    vote_type: "up" | "down";
                    /** Format: date-time */
                    updated_at: string;
                }[];
                next_cursor: string | null;
            };
        };
        ProjectAnswer: {
            /** @constant */
            status: "success";
            data: {
                id: string;
                project_id: string;
                upvotes: number;
                downvotes: number;
                voteCount: number;
                /** @description Lower bound of the Wilson interval, 95 %. */
                community_score: number;
                /** @description Grows with every change of the project's counts. */
                version: number;
            };
        };
        LeaderboardAnswer: {
            /** @constant */
            status: "success";
            data: {
                projects: {
                    project_id: string;
                    upvotes: number;
                    downvotes: number;
                    voteCount: number;
                    /** @description Lower bound of the Wilson interval, 95 %. */
                    community_score: number;
                    /** @description Grows with every change of the project's counts. */
                    version: number;
                }[];
            };
        };
        /** @description RFC 9457. */
        Problem: {
            /** Format: uri */
            type: string;
            title: string;
            status: number;
            detail: string;
            /** Format: uuid */
            request_id: string;
            errors?: {
                field: string;
                detail: string;
            }[];
        };
    };
    responses: {
        /** @description The body, a header or the query is malformed; `errors` names every bad field. */
        Malformed: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description No token, or not a good one. */
        Unauthorized: {
            headers: {
                /** @description RFC 6750. */
                "WWW-Authenticate"?: string;
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description No such project or request, or not the caller's. */
        NotFound: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description The first call with this Idempotency-Key is still in flight. */
        InFlight: {
            headers: {
                /** @description Seconds. */
                "Retry-After"?: string;
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description The body is over 16 KiB. */
        TooLarge: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description The body is not application/json. */
        NotJson: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description The Idempotency-Key was used with another vote. */
        KeyReused: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description The user votes too fast. */
        TooMany: {
            headers: {
                /** @description Seconds. */
                "Retry-After"?: string;
                /** @description What is left of the limit. */
                RateLimit?: string;
                /** @description The limit. */
                "RateLimit-Policy"?: string;
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description temporary-reduced-capacity: nothing was kept; try again. For a vote also outcome-unknown: whether it was kept cannot be told now; Location shows what becomes of it. */
        Unavailable: {
            headers: {
                /** @description Seconds. */
                "Retry-After"?: string;
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
    };
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    castVote: {
        parameters: {
            query?: never;
            header?: {
                /** @description The same key and body again within 24 h get the first answer. */
                "Idempotency-Key"?: string;
                /** @description W3C Trace Context; handed on from stage to stage. */
                traceparent?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["Vote"];
            };
        };
        responses: {
            /** @description The vote is durable. */
            202: {
                headers: {
                    /** @description Where the vote's life is shown. */
                    Location?: string;
                    /** @description `true` when this is the first answer to the key, again. */
                    "Idempotent-Replayed"?: string;
                    /** @description What is left of the limit. */
                    RateLimit?: string;
                    /** @description The limit. */
                    "RateLimit-Policy"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["VoteAnswer"];
                };
            };
            400: components["responses"]["Malformed"];
            401: components["responses"]["Unauthorized"];
            404: components["responses"]["NotFound"];
            409: components["responses"]["InFlight"];
            413: components["responses"]["TooLarge"];
            415: components["responses"]["NotJson"];
            422: components["responses"]["KeyReused"];
            429: components["responses"]["TooMany"];
            503: components["responses"]["Unavailable"];
        };
    };
    getVoteStatus: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                request_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The vote. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["StatusAnswer"];
                };
            };
            401: components["responses"]["Unauthorized"];
            404: components["responses"]["NotFound"];
            503: components["responses"]["Unavailable"];
        };
    };
    getVoteMetrics: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The figures. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Metrics"];
                };
            };
            401: components["responses"]["Unauthorized"];
            503: components["responses"]["Unavailable"];
        };
    };
    getUserVotes: {
        parameters: {
            query?: {
                limit?: number;
                /** @description `next_cursor` of the page before. */
                cursor?: string;
                /** @description Only these, by comma; at most 1000. */
                project_ids?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page of votes. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["UserVotesAnswer"];
                };
            };
            400: components["responses"]["Malformed"];
            401: components["responses"]["Unauthorized"];
            503: components["responses"]["Unavailable"];
        };
    };
    getProject: {
        parameters: {
            query?: never;
            header?: {
                "If-None-Match"?: string;
            };
            path: {
                project_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The project. */
            200: {
                headers: {
                    /** @description Changes with `version`. */
                    ETag?: string;
                    /** @description `project-<id>` */
                    "Surrogate-Key"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ProjectAnswer"];
                };
            };
            /** @description Not changed. */
            304: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            401: components["responses"]["Unauthorized"];
            404: components["responses"]["NotFound"];
            503: components["responses"]["Unavailable"];
        };
    };
    getLeaderboard: {
        parameters: {
            query?: {
                limit?: number;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The projects. */
            200: {
                headers: {
                    /** @description `leaderboard` */
                    "Surrogate-Key"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["LeaderboardAnswer"];
                };
            };
            400: components["responses"]["Malformed"];
            401: components["responses"]["Unauthorized"];
            503: components["responses"]["Unavailable"];
        };
    };
    getOpenapi: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OpenAPI 3.1. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": Record<string, never>;
                };
            };
        };
    };
}
