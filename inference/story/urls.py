from django.urls import path

from inference.story.api import StoryView

urlpatterns = [path("story/<str:request_id>", StoryView.as_view(), name="story-of-request")]
