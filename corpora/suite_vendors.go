package corpora

import "regexp"

// vendors matches names of model vendors and their models. Names that are
// common English words (command, falcon, granite, meta, nova, phi, titan) only
// count with what makes them a model's name; a few that are also ordinary
// (claude, gemini, llama, mistral) count always, because a prompt can do
// without them.
var vendors = regexp.MustCompile(`(?i)` +
	`\b(?:open ?ai|chat ?gpt|gpts?(?:-?\d\w*)?|dall-?e|anthropic|claude|google|gemini|gemma|deep ?mind|palm 2|` +
	`deep ?seek|qwen\d*|qwq|alibaba|tongyi|mistral(?: ai)?|mixtral|codestral|magistral|devstral|` +
	`llama(?:-?\d\w*)?|meta ai|facebook|moonshot|kimi|mini ?max|abab\d|grok|x\.?ai|cohere|command[- ]r\+?|aya expanse|` +
	`microsoft|copilot|phi-\d\w*|nvidia|nemotron|amazon (?:nova|titan)|bedrock|perplexity|zhipu|chat ?glm|glm-\d\w*|` +
	`baidu|ernie|bytedance|doubao|tencent|hunyuan|baichuan|01\.ai|step ?fun|internlm|ai21|jamba|reka ai|databricks|dbrx|` +
	`falcon-?\d\w*|ibm granite|olmo|openrouter|together ai|fireworks ai|hugging ?face|ollama|vllm|sglang|stillmark)\b` +
	`|通义|千问|文心|智谱|豆包|混元|百川|月之暗面|深度求索`)

// vendorName returns the first vendor's or model's name in text, or "".
func vendorName(text string) string { return vendors.FindString(text) }
