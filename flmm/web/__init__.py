"""The web page: what the model sees of a visitor's picture. Needs the extra ``web``; nothing else imports gradio."""
