// Mistakes that the types of the API's document find; one that they let pass does not compile, for it is expected here.

import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

const api = createClient<paths>({ baseUrl: "http://localhost" });

// @ts-expect-error: there is no such path
await api.GET("/api/v1/prompt");
// @ts-expect-error: a name is required
await api.POST("/api/v1/prompts", { body: {} });
// @ts-expect-error: which prompt?
await api.GET("/api/v1/prompts/{prompt_id}");
// @ts-expect-error: kinds are `text` and `chat`
await api.POST("/api/v1/prompts", { body: { name: "x", kind: "image" } });
// @ts-expect-error: a limit is a number
await api.GET("/api/v1/prompts", { params: { query: { limit: "ten" } } });

const { data, error } = await api.GET("/api/v1/users/me/credits");
// @ts-expect-error: credits are decimal strings
export const available: number | undefined = data?.available;
export const problem: components["schemas"]["Problem"] | undefined = error;
