/* openapi.h - the OpenAPI document of pipelines/openapi.json, embedded by the build.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef VOTE_OPENAPI_H
#define VOTE_OPENAPI_H

extern const char openapi_json[];

#endif
