"""Who puts facts and pictures into words: rules, an engine, or any endpoint that speaks OpenAI's protocol."""
